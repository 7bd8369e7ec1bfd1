package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"berth/oci"
)

const (
	// maxMembers is how many members of a tar file are passed over before it
	// is refused.
	maxMembers = 1 << 20
	// maxBlobs bounds the memory of an index: about 120 bytes each.
	maxBlobs = 100_000
)

// scan makes the index of a tar file of size bytes by one pass over its
// headers. It fails with a refusal where the file is not a layout that can be
// served, and otherwise when it cannot be read.
func scan(file io.ReaderAt, size int64) (*members, error) {
	if err := checkMagic(file, size); err != nil {
		return nil, err
	}
	s := scanner{file: &failing{r: file}, size: size, found: map[string]extent{}}
	s.section = io.NewSectionReader(s.file, 0, size)
	err := s.run()
	if s.file.err != nil {
		return nil, s.file.err
	}
	if err != nil {
		return nil, err
	}
	return s.members()
}

// checkMagic refuses compressed files by name: for a tar they are noise.
func checkMagic(file io.ReaderAt, size int64) error {
	if size == 0 {
		return refusef("it is empty")
	}
	start := make([]byte, min(6, size))
	if n, err := file.ReadAt(start, 0); n < len(start) {
		return fmt.Errorf("read the first bytes of an archive: %w", err)
	}
	for _, c := range []struct{ magic, name, unpack string }{
		{"\x1f\x8b", "gzip", "gunzip"},
		{"\x28\xb5\x2f\xfd", "zstd", "unzstd"},
		{"BZh", "bzip2", "bunzip2"},
		{"\xfd7zXZ\x00", "xz", "unxz"},
	} {
		if strings.HasPrefix(string(start), c.magic) {
			return refusef("it is compressed by %s; unpack it with %s, or export it without compression: its layers are compressed already", c.name, c.unpack)
		}
	}
	return nil
}

// failing remembers a read failure other than the end: the tar reader's own
// errors do not tell a bad medium from a bad archive.
type failing struct {
	r   io.ReaderAt
	err error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = fmt.Errorf("read an archive at %d: %w", off, err)
	}
	return n, err
}

// scanner passes over a tar file. As when a tar is unpacked, the last member
// of a name is the one that counts.
type scanner struct {
	file    *failing
	section *io.SectionReader // the tar reader skips by seeking in it
	size    int64
	found   map[string]extent // the files of a layout by clean name
	seen    int               // members
	docker  bool              // a manifest.json was seen
}

func (s *scanner) run() error {
	r := tar.NewReader(s.section)
	for {
		header, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && header == nil {
			at, _ := s.section.Seek(0, io.SeekCurrent)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return refusef("it is cut short: it has %d bytes and a member that goes beyond", s.size)
			}
			return refusef("it is no tar file, or damaged near byte %d: %v", at, err)
		}
		if s.seen++; s.seen > maxMembers {
			return refusef("it has more than %d members", maxMembers)
		}
		// The tar reader has read exactly the headers: what follows is data.
		base, err := s.section.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := s.member(header, base); err != nil {
			return err
		}
	}
}

// member notes one member whose data begins at base.
func (s *scanner) member(header *tar.Header, base int64) error {
	name, ok := layoutName(header.Name)
	if !ok {
		if path.Clean(header.Name) == "manifest.json" {
			s.docker = true
		}
		return nil
	}
	switch header.Typeflag {
	case tar.TypeReg:
		if isSparse(header) {
			return refusef("its member %q is stored sparsely; write the archive again without --sparse", clip(header.Name))
		}
		if header.Size < 0 || base < 0 || header.Size > s.size-base {
			return refusef("it is cut short: its member %q goes beyond its %d bytes", clip(header.Name), s.size)
		}
		s.found[name] = extent{base, header.Size}
	case tar.TypeGNUSparse:
		return refusef("its member %q is stored sparsely; write the archive again without --sparse", clip(header.Name))
	case tar.TypeLink:
		// A hard link is another name for an earlier member.
		target, _ := layoutName(header.Linkname)
		if at, ok := s.found[target]; ok {
			s.found[name] = at
		} else {
			delete(s.found, name)
		}
	default:
		// Anything else unpacked here would replace the file.
		delete(s.found, name)
	}
	if len(s.found) > maxBlobs {
		return refusef("it has more than %d blobs", maxBlobs)
	}
	return nil
}

// isSparse tells PAX sparse members, which the tar reader passes off as
// regular ones.
func isSparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// layoutName makes a member's name clean, and reports whether it is that of a
// file of a layout. A name that leads out of the archive is none.
func layoutName(name string) (string, bool) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", false
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "oci-layout" || name == "index.json" {
		return name, true
	}
	_, ok := blobDigest(name)
	return name, ok
}

// blobDigest reads a blob's digest from its name in a layout.
func blobDigest(name string) (oci.Digest, bool) {
	rest, ok := strings.CutPrefix(name, "blobs/")
	if !ok {
		return "", false
	}
	algorithm, encoded, ok := strings.Cut(rest, "/")
	if !ok {
		return "", false
	}
	d, err := oci.ParseDigest(algorithm + ":" + encoded)
	return d, err == nil
}

// members makes the index of what was found.
func (s *scanner) members() (*members, error) {
	m := &members{}
	var hasHeader, hasIndex bool
	m.header, hasHeader = s.found["oci-layout"]
	m.index, hasIndex = s.found["index.json"]
	switch {
	case !hasIndex && !hasHeader && s.docker:
		return nil, refusef("it is a Docker archive, not an OCI layout; export it as oci-archive (podman save --format oci-archive, skopeo copy … oci-archive:…)")
	case !hasHeader:
		return nil, refusef("it has no oci-layout at its top: it is no OCI layout")
	case !hasIndex:
		return nil, refusef("it has no index.json at its top: it is no OCI layout")
	case m.header.size > maxLayoutSize:
		return nil, refusef("its oci-layout has %d bytes; at most %d are read", m.header.size, maxLayoutSize)
	case m.index.size > maxIndexSize:
		return nil, refusef("its index.json has %d bytes; at most %d are read", m.index.size, maxIndexSize)
	}
	content := make([]byte, m.header.size)
	if _, err := s.file.ReadAt(content, m.header.base); err != nil && err != io.EOF {
		return nil, err
	}
	if err := checkLayout(content); err != nil {
		return nil, err
	}
	for name, at := range s.found {
		if d, ok := blobDigest(name); ok {
			m.blobs = append(m.blobs, blob{d, at})
		}
	}
	slices.SortFunc(m.blobs, func(a, b blob) int { return strings.Compare(string(a.digest), string(b.digest)) })
	m.blobs = slices.Clip(m.blobs)
	return m, nil
}
