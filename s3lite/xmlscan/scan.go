// Package xmlscan reads the XML of AWS's answers: elements that hold either
// text or elements. Attributes, comments and processing instructions are
// passed over, namespaces' prefixes cut off; a document type is refused, so
// that nothing can be declared. It streams, and bounds what it takes in.
//
// It stands in for encoding/xml, which would be a tenth of a megabyte more
// in the binary and builds a value of a whole answer first.
package xmlscan

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

const (
	maxDepth = 16
	maxText  = 64 << 10 // of one element, and of one tag
)

// ErrSyntax is wrapped by the errors of what is no XML, or not this kind.
var ErrSyntax = errors.New("not the XML of an answer")

// ErrTooLarge is wrapped when a document is longer than its limit.
var ErrTooLarge = errors.New("answer is too large")

// Scan reads one document of at most limit bytes. At the end of each element
// it calls end with the names on the way to it, joined by slashes, and its
// text. What holds elements has its inner white space for a text. Both slices
// are good until end returns; its error ends the scan.
func Scan(r io.Reader, limit int64, end func(path, text []byte) error) error {
	bounded := &bound{r: r, left: limit}
	s := scanner{r: bufio.NewReaderSize(bounded, 4096), end: end}
	for {
		done, err := s.step()
		if bounded.exceeded {
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
		if err != nil {
			return err
		}
		if done {
			return nil
		}
	}
}

// bound is a reader that ends at a limit and knows that it did.
type bound struct {
	r        io.Reader
	left     int64
	exceeded bool
}

func (b *bound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		n, err := b.r.Read(p[:min(1, len(p))])
		b.exceeded = b.exceeded || n > 0
		if n > 0 {
			return 0, ErrTooLarge
		}
		return 0, err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type scanner struct {
	r     *bufio.Reader
	end   func(path, text []byte) error
	path  []byte
	depth int
	text  []byte
	tag   []byte
}

// step takes in the text up to the next tag, and the tag; done after the
// outermost element.
func (s *scanner) step() (done bool, err error) {
	if err := s.readText(); err != nil {
		if err == io.EOF && s.depth == 0 {
			return false, fmt.Errorf("%w: no element", ErrSyntax)
		}
		return false, early(err)
	}
	if err := s.readTag(); err != nil {
		return false, early(err)
	}
	tag := s.tag
	switch {
	case len(tag) == 0:
		return false, syntax("an empty tag")
	case tag[0] == '?' || tag[0] == '!':
		return false, s.special()
	case tag[0] == '/':
		return s.close(trimName(tag[1:]))
	case tag[len(tag)-1] == '/':
		if err := s.open(trimName(tag[:len(tag)-1])); err != nil {
			return false, err
		}
		return s.close(s.last())
	}
	return false, s.open(trimName(tag))
}

func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func syntax(what string) error { return fmt.Errorf("%w: %s", ErrSyntax, what) }

// readText appends the text before the next "<" to that of the element.
func (s *scanner) readText() error {
	for {
		part, err := s.r.ReadSlice('<')
		if err == nil {
			part = part[:len(part)-1]
		}
		if len(s.text)+len(part) > maxText {
			return syntax("a text is too long")
		}
		s.text = append(s.text, part...)
		if err == nil {
			return nil
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// readTag reads what stands between "<" and ">". A quoted ">" and one inside a
// comment or CDATA section do not end it.
func (s *scanner) readTag() error {
	s.tag = s.tag[:0]
	var quote byte
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		if len(s.tag) >= maxText {
			return syntax("a tag is too long")
		}
		section := bytes.HasPrefix(s.tag, []byte("!--")) || bytes.HasPrefix(s.tag, []byte("![CDATA["))
		switch {
		case section && c == '>':
			if s.ended() {
				return nil
			}
		case section:
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return nil
		case c == '<':
			return syntax("a tag inside a tag")
		}
		s.tag = append(s.tag, c)
	}
}

// ended tells whether a ">" now closes the comment or CDATA section.
func (s *scanner) ended() bool {
	if bytes.HasPrefix(s.tag, []byte("!--")) {
		return len(s.tag) >= len("!----") && bytes.HasSuffix(s.tag, []byte("--"))
	}
	return len(s.tag) >= len("![CDATA[]]") && bytes.HasSuffix(s.tag, []byte("]]"))
}

// special handles what is no element: a CDATA section adds to the text.
func (s *scanner) special() error {
	inner, cdata := bytes.CutPrefix(s.tag, []byte("![CDATA["))
	switch {
	case cdata && s.depth == 0:
		return syntax("text outside of the elements")
	case cdata:
		if len(s.text)+len(inner) > maxText {
			return syntax("a text is too long")
		}
		// Its ampersands are no entities: they are made some, because the
		// whole text is decoded at its end.
		s.text = append(s.text, bytes.ReplaceAll(inner[:len(inner)-2], []byte("&"), []byte("&amp;"))...)
	case s.tag[0] == '?' || bytes.HasPrefix(s.tag, []byte("!--")):
	default:
		return syntax("a declaration")
	}
	return nil
}

// trimName cuts attributes and a namespace's prefix from a tag.
func trimName(tag []byte) []byte {
	if i := bytes.IndexAny(tag, " \t\r\n"); i >= 0 {
		tag = tag[:i]
	}
	if i := bytes.LastIndexByte(tag, ':'); i >= 0 {
		tag = tag[i+1:]
	}
	return tag
}

func (s *scanner) open(name []byte) error {
	switch {
	case len(name) == 0 || bytes.IndexByte(name, '/') >= 0:
		return syntax("a tag without a good name")
	case s.depth == maxDepth:
		return syntax("elements are nested too deeply")
	case s.depth == 0 && len(bytes.TrimSpace(bytes.TrimPrefix(s.text, []byte("\xef\xbb\xbf")))) > 0:
		return syntax("text outside of the elements")
	}
	if s.depth > 0 {
		s.path = append(s.path, '/')
	}
	s.path = append(s.path, name...)
	s.depth++
	s.text = s.text[:0]
	return nil
}

// last returns the name of the element that is open.
func (s *scanner) last() []byte { return s.path[bytes.LastIndexByte(s.path, '/')+1:] }

func (s *scanner) close(name []byte) (done bool, err error) {
	if s.depth == 0 || !bytes.Equal(name, s.last()) {
		return false, syntax("an end tag without its start")
	}
	text, err := decode(s.text)
	if err != nil {
		return false, err
	}
	if err := s.end(s.path, text); err != nil {
		return false, err
	}
	s.depth--
	s.path = s.path[:max(0, bytes.LastIndexByte(s.path, '/'))]
	s.text = s.text[:0]
	return s.depth == 0, nil
}

// decode replaces entities and character references, in place: none is shorter
// than what it stands for.
func decode(text []byte) ([]byte, error) {
	first := bytes.IndexByte(text, '&')
	if first < 0 {
		return text, nil
	}
	out, rest := text[:first], text[first:]
	for len(rest) > 0 {
		if rest[0] != '&' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}
		semicolon := bytes.IndexByte(rest[:min(len(rest), 12)], ';')
		if semicolon < 0 {
			return nil, syntax("an ampersand without its semicolon")
		}
		r, ok := reference(string(rest[1:semicolon]))
		if !ok {
			return nil, syntax("an unknown entity")
		}
		out, rest = utf8.AppendRune(out, r), rest[semicolon+1:]
	}
	return out, nil
}

func reference(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return rune(n), err == nil && utf8.ValidRune(rune(n))
}
