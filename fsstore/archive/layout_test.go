package archive

import (
	"os"
	"strings"
	"testing"
	"time"

	"berth/fsstore/archive/archivetest"
	"berth/oci"
)

// layer is the content of the layer of layoutFiles.
var layer = strings.Repeat("layer", 500)

// layoutFiles is a layout with one image. Its layer has a sha512 digest, whose
// name is too long for the oldest tar headers.
func layoutFiles(tb testing.TB) map[string]string {
	tb.Helper()
	return archivetest.Image(tb, oci.SHA512, layer)
}

// touch gives a file another time of change, as any later write would.
func touch(tb testing.TB, path string) {
	tb.Helper()
	at := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		tb.Fatal(err)
	}
}
