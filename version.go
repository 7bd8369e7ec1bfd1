package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the linker: -X main.version=…
var version string

// versionString returns what the linker set, and else what the toolchain knows.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return strings.Trim(info.Main.Version, "()") // "(devel)" where git was not asked
}

func printVersion(args []string, stdout io.Writer) error {
	if len(args) > 0 {
		return usageError("berth version: takes no arguments; see berth help")
	}
	_, err := fmt.Fprintf(stdout, "berth %s %s %s/%s%s\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH, variant)
	return err
}
