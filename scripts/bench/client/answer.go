package client

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Answer is the head of an HTTP answer, as far as the measurements need it.
type Answer struct {
	Status   int
	Length   int64  // of the body, in bytes
	Location string // path and query; "" where there was none
	Close    bool   // the server closes the connection
}

// Want returns an error unless the answer has the status wanted.
func (a Answer) Want(status int, what string) error {
	if a.Status != status {
		return fmt.Errorf("%s: status %d, not %d", what, a.Status, status)
	}
	return nil
}

// ReadHead reads the head of an answer. The body is the caller's to read.
func (c *Conn) ReadHead() (Answer, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return Answer{}, fmt.Errorf("status line: %w", err)
	}
	a := Answer{Length: -1}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, fmt.Errorf("status line %q", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("status line %q", line)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return a, fmt.Errorf("header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return a, a.finish()
		}
		if err := a.header(line); err != nil {
			return a, err
		}
	}
}

// header takes over one header line.
func (a *Answer) header(line []byte) error {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return fmt.Errorf("header line %q", line)
	}
	value = bytes.TrimSpace(value)
	var err error
	switch len(name) {
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			a.Length, err = strconv.ParseInt(string(value), 10, 64)
		}
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			a.Close = bytes.EqualFold(value, []byte("close"))
		}
	case len("Location"):
		if bytes.EqualFold(name, []byte("Location")) {
			a.Location = pathOf(string(value))
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			err = fmt.Errorf("answer with Transfer-Encoding %q: only Content-Length is understood", value)
		}
	}
	return err
}

// finish settles the length of the body.
func (a *Answer) finish() error {
	if a.Length >= 0 {
		return nil
	}
	if a.Status != 204 && a.Status != 304 {
		return fmt.Errorf("answer %d without Content-Length", a.Status)
	}
	a.Length = 0
	return nil
}

// pathOf strips scheme and host from a Location.
func pathOf(location string) string {
	if _, rest, found := strings.Cut(location, "://"); found {
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:]
		}
		return "/"
	}
	return location
}

// Head makes the head of a request. Each header is a whole "Name: value".
// A length below 0 leaves Content-Length out.
func Head(method, path string, length int64, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n", method, path)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if length >= 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
