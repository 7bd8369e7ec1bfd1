package archive

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"berth/oci"
)

// dirLayout is a layout in a directory. Every call opens the directory anew
// and lets no link lead out of it: media come from anywhere.
type dirLayout struct{ path string }

// openRegular opens a regular file below the directory.
func (l *dirLayout) openRegular(name string) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return nil, nil, missing(err)
	}
	defer root.Close()
	// Opening a named pipe would wait for its writer, so look first.
	info, err := root.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, refusef("its %s is not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// readFile reads a file of at most limit bytes.
func (l *dirLayout) readFile(name string, limit int64) ([]byte, fs.FileInfo, error) {
	f, info, err := l.openRegular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, refusef("it has no %s", name)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, nil, refusef("its %s has %d bytes; at most %d are read", name, info.Size(), limit)
	}
	content, err := readSection(f, 0, info.Size())
	return content, info, err
}

func (l *dirLayout) load(have oci.Version) ([]byte, oci.Version, error) {
	if have != "" {
		info, err := os.Stat(path.Join(l.path, "index.json"))
		if err == nil && info.Mode().IsRegular() {
			if v := stateOf(info).version(); v == have {
				return nil, v, nil
			}
		}
	}
	header, _, err := l.readFile("oci-layout", maxLayoutSize)
	if err == nil {
		err = checkLayout(header)
	}
	if err != nil {
		return nil, "", err
	}
	if have == anyVersion {
		f, info, err := l.openRegular("index.json")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", refusef("it has no index.json")
		}
		if err != nil {
			return nil, "", err
		}
		return nil, stateOf(info).version(), f.Close()
	}
	content, info, err := l.readFile("index.json", maxIndexSize)
	if err != nil {
		return nil, "", err
	}
	return content, stateOf(info).version(), nil
}

// blobName is the name of a blob in a layout.
func blobName(d oci.Digest) string { return "blobs/" + string(d.Algorithm()) + "/" + d.Encoded() }

func (l *dirLayout) stat(d oci.Digest) (oci.BlobInfo, error) {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return oci.BlobInfo{}, missing(err)
	}
	defer root.Close()
	info, err := root.Stat(blobName(d))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return oci.BlobInfo{}, oci.ErrBlobUnknown
	}
	if err != nil {
		return oci.BlobInfo{}, err
	}
	return oci.BlobInfo{Size: info.Size(), Modified: info.ModTime()}, nil
}

func (l *dirLayout) open(d oci.Digest) (oci.Content, error) {
	f, info, err := l.openRegular(blobName(d))
	if errors.Is(err, fs.ErrNotExist) || isRefusal(err) {
		return nil, oci.ErrBlobUnknown
	}
	if err != nil {
		return nil, err
	}
	return newContent(f, 0, oci.BlobInfo{Size: info.Size(), Modified: info.ModTime()}), nil
}

func (l *dirLayout) walk(fn func(oci.Digest, oci.BlobInfo) error) error {
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		entries, err := l.list("blobs/" + string(a))
		if err != nil {
			return err
		}
		for _, e := range entries {
			d, err := oci.ParseDigest(string(a) + ":" + e.Name())
			if err != nil {
				continue // something else that lies there
			}
			info, err := l.stat(d)
			if errors.Is(err, oci.ErrBlobUnknown) {
				continue
			}
			if err == nil {
				err = fn(d, info)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// list reads a directory of the layout; one that is missing is empty.
func (l *dirLayout) list(name string) ([]fs.DirEntry, error) {
	dir, err := os.OpenInRoot(l.path, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir(-1)
}
