package archive

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"berth/oci"
)

// tarLayout is a layout in a tar file. The members' offsets are found by one
// pass over the headers, at the first use of each state of the file.
type tarLayout struct {
	path string

	mu    sync.Mutex // guards what follows, and is held while indexing
	state fileState
	known *members // nil where state was refused or nothing is known
	why   error    // the refusal of state; nil where nothing is known
}

// members is the index of one state of a tar file.
type members struct {
	header extent // oci-layout
	index  extent // index.json
	blobs  []blob // in order of digest
}

// extent is where a member's bytes lie in the file.
type extent struct{ base, size int64 }

type blob struct {
	digest oci.Digest
	extent
}

// find returns where a blob lies.
func (m *members) find(d oci.Digest) (extent, bool) {
	i, found := slices.BinarySearchFunc(m.blobs, d, func(b blob, d oci.Digest) int {
		return strings.Compare(string(b.digest), string(d))
	})
	if !found {
		return extent{}, false
	}
	return m.blobs[i].extent, true
}

// lookup returns the index of the file that has been opened or looked at. When
// the index has to be made and f is nil, it opens the file itself.
func (l *tarLayout) lookup(f *os.File, info fs.FileInfo) (*members, fileState, error) {
	if !info.Mode().IsRegular() {
		return nil, fileState{}, refusef("it is not a regular file")
	}
	state := stateOf(info)
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == l.state && (l.known != nil || l.why != nil) {
		return l.known, state, l.why
	}
	if f == nil {
		var err error
		if f, err = os.Open(l.path); err != nil {
			return nil, state, err
		}
		defer f.Close()
		if info, err = f.Stat(); err != nil {
			return nil, state, err
		}
		state = stateOf(info)
	}
	m, err := scan(f, state.size)
	if err != nil && !isRefusal(err) {
		return nil, state, err // an I/O failure says nothing about the file
	}
	l.state, l.known, l.why = state, m, err
	return m, state, err
}

// look is lookup without a file.
func (l *tarLayout) look() (*members, fs.FileInfo, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return nil, nil, missing(err)
	}
	m, _, err := l.lookup(nil, info)
	return m, info, err
}

// openFile opens the file along with its index.
func (l *tarLayout) openFile() (*os.File, *members, fs.FileInfo, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, nil, nil, missing(err)
	}
	info, err := f.Stat()
	if err == nil {
		var m *members
		if m, _, err = l.lookup(f, info); err == nil {
			return f, m, info, nil
		}
	}
	return nil, nil, nil, errors.Join(err, f.Close())
}

// missing makes of a layout that is not there a medium that is missing.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(oci.Errorf(oci.ErrUnavailable, "the layout is not there"), err)
	}
	return err
}

func (l *tarLayout) load(have oci.Version) ([]byte, oci.Version, error) {
	if have != "" {
		m, info, err := l.look()
		if err != nil {
			return nil, "", err
		}
		if v := stateOf(info).version(); m != nil && (v == have || have == anyVersion) {
			return nil, v, nil
		}
	}
	f, m, info, err := l.openFile()
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	content, err := readSection(f, m.index.base, m.index.size)
	return content, stateOf(info).version(), cut(err)
}

// cut makes an end of file within a member an error of its own: a caller may
// take io.EOF for success.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (l *tarLayout) stat(d oci.Digest) (oci.BlobInfo, error) {
	m, info, err := l.look()
	if err != nil {
		return oci.BlobInfo{}, err
	}
	at, ok := m.find(d)
	if !ok {
		return oci.BlobInfo{}, oci.ErrBlobUnknown
	}
	return oci.BlobInfo{Size: at.size, Modified: info.ModTime()}, nil
}

func (l *tarLayout) open(d oci.Digest) (oci.Content, error) {
	f, m, info, err := l.openFile()
	if err != nil {
		return nil, err
	}
	at, ok := m.find(d)
	if !ok {
		return nil, errors.Join(oci.ErrBlobUnknown, f.Close())
	}
	return newContent(f, at.base, oci.BlobInfo{Size: at.size, Modified: info.ModTime()}), nil
}

func (l *tarLayout) walk(fn func(oci.Digest, oci.BlobInfo) error) error {
	m, info, err := l.look()
	if err != nil {
		return err
	}
	for _, b := range m.blobs {
		if err := fn(b.digest, oci.BlobInfo{Size: b.size, Modified: info.ModTime()}); err != nil {
			return err
		}
	}
	return nil
}
