package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// syntaxError is a file that is not of its language at all.
type syntaxError struct {
	line    int
	message string
}

func (e *syntaxError) Error() string { return e.message }

// parseJSON reads one JSON object (RFC 8259) into a tree.
func parseJSON(data []byte) (table, error) {
	p := &jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.dec.UseNumber()
	root, err := p.value(0)
	if err != nil {
		return nil, p.explain(err)
	}
	t, ok := root.(table)
	if !ok {
		return nil, &syntaxError{1, "want a JSON object, got " + describe(root)}
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{p.lineAt(p.dec.InputOffset()), "something follows the end of the JSON object"}
	}
	return t, nil
}

// jsonParser walks the tokens of a decoder and counts lines beside it.
type jsonParser struct {
	data []byte
	dec  *json.Decoder
	// line is the line of the byte at offset.
	line   int
	offset int64
}

func (p *jsonParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, &syntaxError{p.lineAt(p.dec.InputOffset()), fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	return p.rest(token, depth)
}

// rest reads on from a value's first token.
func (p *jsonParser) rest(token json.Token, depth int) (any, error) {
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return p.object(depth)
		}
		return p.array(depth)
	case json.Number:
		return jsonNumber(t), nil
	}
	return token, nil
}

func (p *jsonParser) object(depth int) (any, error) {
	t := table{}
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		line := p.lineAt(p.dec.InputOffset())
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		t = append(t, entry{name: name, line: func() int { return line }, value: value})
	}
	_, err := p.dec.Token()
	return t, err
}

func (p *jsonParser) array(depth int) (any, error) {
	l := list{}
	for p.dec.More() {
		if depth >= maxDepth {
			return p.value(depth + 1) // which refuses it
		}
		token, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		line := p.lineAt(p.dec.InputOffset())
		value, err := p.rest(token, depth+1)
		if err != nil {
			return nil, err
		}
		if t, ok := value.(table); ok {
			value = entry{line: func() int { return line }, value: t}
		}
		l = append(l, value)
	}
	_, err := p.dec.Token()
	return l, err
}

func jsonNumber(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return other("the number " + quote(n.String()))
}

// lineAt returns the line of an offset that is not before the last one asked
// for.
func (p *jsonParser) lineAt(offset int64) int {
	offset = min(offset, int64(len(p.data)))
	if offset > p.offset {
		p.line += bytes.Count(p.data[p.offset:offset], []byte{'\n'})
		p.offset = offset
	}
	return p.line
}

// explain turns a decoder's error into one with a line.
func (p *jsonParser) explain(err error) error {
	if _, ok := errors.AsType[*syntaxError](err); ok {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &syntaxError{p.lineAt(int64(len(p.data))), "not valid JSON: it ends early"}
	}
	offset := p.dec.InputOffset()
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(offset, se.Offset-1)
	}
	message := "not valid JSON: " + strings.TrimPrefix(err.Error(), "json: ")
	if strings.Contains(message, "'/'") {
		message += " (JSON has no comments; TOML has)"
	}
	return &syntaxError{p.lineAt(offset), message}
}
