package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"berth/oci"
)

// refusal is why a layout cannot be served: a message for the log.
type refusal string

func (r refusal) Error() string { return string(r) }

func refusef(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func isRefusal(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// content is an open blob: a section of a file, never read beyond.
type content struct {
	*io.SectionReader
	file *os.File
	base int64 // offset of the blob's first byte in file
	info oci.BlobInfo
}

var _ oci.Content = (*content)(nil)

func newContent(f *os.File, base int64, info oci.BlobInfo) *content {
	return &content{io.NewSectionReader(f, base, info.Size), f, base, info}
}

// Info implements oci.Content.
func (c *content) Info() oci.BlobInfo { return c.info }

// Close implements io.Closer.
func (c *content) Close() error { return c.file.Close() }

// File returns the file that holds the blob, from byte base on, for
// Info().Size bytes, wherever the content was opened. It is this content's
// alone; its own offset is not kept.
func (c *content) File() (f *os.File, base int64) { return c.file, c.base }

// Read implements io.Reader. A file that was cut short meanwhile is an error,
// not the end.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.SectionReader.Read(p)
	if err != io.EOF || len(p) == 0 {
		return n, err
	}
	at, seekErr := c.Seek(0, io.SeekCurrent)
	if seekErr == nil && at < c.info.Size {
		return n, fmt.Errorf("read a blob: %w: its file was cut short", io.ErrUnexpectedEOF)
	}
	return n, err
}

// seekTo moves a content to an offset, or to its end where that is beyond.
func seekTo(c oci.Content, offset int64) (oci.Content, error) {
	if _, err := c.Seek(min(offset, c.Info().Size), io.SeekStart); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
