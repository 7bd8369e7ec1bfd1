// Command device takes the Debian packages of berth through their life on an
// emulated machine with 256 MiB of memory: installed, pushed to and pulled from
// through systemd's socket, upgraded while clients connect, gone when idle,
// given a USB stick, rebooted and purged.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var d device
	flag.StringVar(&d.arch, "arch", "arm64", "Debian's name of the architecture: arm64 or amd64")
	flag.StringVar(&d.kernel, "kernel", "", "kernel to boot")
	flag.StringVar(&d.initrd, "initrd", "", "initrd that goes on to the root")
	flag.StringVar(&d.root, "root", "", "image of a Debian system; it is written to")
	flag.StringVar(&d.packages, "packages", "", "image of a file system with old.deb and new.deb")
	flag.StringVar(&d.dir, "dir", "", "folder for sockets and sticks")
	flag.Parse()
	d.began = time.Now()
	if err := d.live(); err != nil {
		fmt.Fprintln(os.Stderr, "device:", err)
		os.Exit(1)
	}
}
