package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"berth/oci"
)

// maxIndexSize is the largest index.json that is read, in bytes.
const maxIndexSize = 64 << 20

// maxLayoutSize is the largest oci-layout file that is read, in bytes.
const maxLayoutSize = 64 << 10

// anyVersion matches whatever there is: the caller asks only whether the
// layout can be served.
const anyVersion oci.Version = "any"

// fileState tells one state of a file from another.
type fileState struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

func stateOf(info fs.FileInfo) fileState {
	s := fileState{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(sys.Dev), sys.Ino
		s.ctime = time.Unix(sys.Ctim.Unix()).UnixNano()
	}
	return s
}

// version is the index version of a layout whose index.json, or whose archive,
// is in this state.
func (s fileState) version() oci.Version {
	return oci.Version(fmt.Sprintf("%x-%x-%x-%x-%x", s.dev, s.ino, s.size, s.mtime, s.ctime))
}

// checkLayout checks the content of an oci-layout file (image-spec, Image
// Layout).
func checkLayout(content []byte) error {
	var header struct {
		Version *string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(content, &header); err != nil {
		return refusef("its oci-layout file is not JSON: %v", err)
	}
	if header.Version == nil {
		return refusef("its oci-layout file has no imageLayoutVersion")
	}
	if *header.Version != "1.0.0" {
		return refusef("its oci-layout file has imageLayoutVersion %q; 1.0.0 is known", clip(*header.Version))
	}
	return nil
}

// readSection reads n bytes of a file at base.
func readSection(f *os.File, base, n int64) ([]byte, error) {
	content := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, base, n), content); err != nil {
		return nil, err
	}
	return content, nil
}
