package cache

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"berth/oci"
)

func FuzzDecodeHolders(f *testing.F) {
	f.Add(encodeHolders([]oci.Repo{"a"}))
	f.Add(encodeHolders([]oci.Repo{"library/app", "b.c/d__e"}))
	f.Add([]byte{})
	f.Add([]byte("a\x00"))
	f.Add([]byte("../../etc"))
	f.Fuzz(func(t *testing.T, value []byte) {
		repos, err := decodeHolders(value)
		if err == nil && !slices.Equal(encodeHolders(repos), value) {
			t.Errorf("%q was read as %q", value, repos)
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(meta{}.encode())
	f.Add(meta{seq: 7, count: 1 << 40, complete: true}.encode())
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if again, err := decodeMeta(m.encode()); err != nil || again != m || m.count < 0 {
			t.Errorf("%+v was read again as %+v, %v", m, again, err)
		}
	})
}

// FuzzCheckFiles gives the checks of log and table what may lie on a disk: they
// must come to an end within bounds, whatever it is.
func FuzzCheckFiles(f *testing.F) {
	log := make([]byte, logHeader, 64)
	f.Add(log)
	f.Add(append(slices.Clone(log), make([]byte, 30)...))
	f.Add(append(slices.Clone(log), 0, 0, 1, 1, 0, 'k', 'v', 0x7d, 0xbb, 0x4b, 0x80))
	f.Add(append(slices.Clone(log), 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0))
	f.Add([]byte("block index\x00\x00\x00\x05\x08\x01\x10\x00\x00\x00\x00\x04"))
	path := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if entries, err := checkLog(path, 2*memTableSize); err == nil && entries*8 > len(b) {
			t.Errorf("%d entries in %d bytes", entries, len(b))
		}
		guard(func() error { return checkFooter(path) })
	})
}
