// Command device takes the Debian packages of berth through their life on an
// emulated machine with 256 MiB of memory: installed, pushed to and pulled from
// through systemd's socket, held as its unit says, made to hang, upgraded while
// clients connect, gone when idle, given a USB stick, rebooted and purged. With
// -at it only pushes to and pulls from a registry that is there.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"berth/e2e/wire"
)

func main() {
	var d device
	flag.StringVar(&d.arch, "arch", "arm64", "Debian's name of the architecture: arm64 or amd64")
	flag.StringVar(&d.kernel, "kernel", "", "kernel to boot")
	flag.StringVar(&d.initrd, "initrd", "", "initrd that goes on to the root")
	flag.StringVar(&d.root, "root", "", "image of a Debian system; it is written to")
	flag.StringVar(&d.packages, "packages", "", "image of a file system with old.deb and new.deb")
	flag.StringVar(&d.dir, "dir", "", "folder for sockets and sticks")
	at := flag.String("at", "", "URL of a registry that is there: no machine is started")
	flag.Parse()
	d.began = time.Now()
	life := d.live
	if *at != "" {
		d.client, life = wire.Outside(*at, &http.Transport{DisableCompression: true}), d.visit
	}
	if err := life(); err != nil {
		fmt.Fprintln(os.Stderr, "device:", err)
		os.Exit(1)
	}
}
