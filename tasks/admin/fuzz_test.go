package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRequest: whatever a client sends is a request or an error, and no more
// than a request's length is read of it.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"verb":"gc","args":["--dry-run"]}` + "\n"))
	f.Add([]byte(`{"verb":"tasks"}` + "\nmore"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte(`{"verb":["` + "\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		req, err := readRequest(bytes.NewReader(sent))
		if err != nil {
			return
		}
		again, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		back, err := readRequest(bytes.NewReader(append(again, '\n')))
		if len(again) < maxRequest && (err != nil || back.Verb != req.Verb || len(back.Args) != len(req.Args)) {
			t.Errorf("%s came back as %+v, %v", again, back, err)
		}
	})
}

// FuzzAnswer is the same for what a server sends.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"hello":"berth"}` + "\n" + `{"line":{"a":1}}` + "\n" + `{"end":true,"error":"no"}` + "\n")
	f.Add(`{"line":` + strings.Repeat("[", 5000) + "\n")
	f.Add("{}\n{}\n")
	f.Fuzz(func(t *testing.T, sent string) {
		r := bufio.NewReader(strings.NewReader(sent))
		for n := 0; ; n++ {
			a, err := readAnswer(r)
			if err != nil {
				return
			}
			if n > strings.Count(sent, "\n") {
				t.Fatalf("%d answers in %d lines", n, strings.Count(sent, "\n"))
			}
			if a.Line != nil && !json.Valid(a.Line) {
				t.Errorf("line %q", a.Line)
			}
		}
	})
}
