package gc_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"berth/oci"
)

// TestSharedComesAgain: garbage that a client sends again, to another process than
// the one that collects, stays for the delay, so that its manifest finds it.
func TestSharedComesAgain(t *testing.T) {
	const text = "layer m"
	d := digest([]byte(text))
	for name, send := range map[string]func(*world){
		"in one request": func(w *world) { w.blob(text) },
		"in chunks": func(w *world) {
			id, err := w.StartUpload(w.ctx(), repo, oci.SHA256)
			w.ok(err)
			_, err = w.AppendUpload(w.ctx(), repo, id, 0, strings.NewReader(text))
			w.ok(err)
			_, err = w.FinishUpload(w.ctx(), repo, id, d, oci.AtEnd, nil)
			w.ok(err)
		},
		"by a mount": func(w *world) {
			w.ok(w.PushBlob(w.ctx(), "other", d, strings.NewReader(text)))
			w.ok(w.Mount(w.ctx(), repo, "other", d))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := sharing(t)
			a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
			a.push("v1", a.image("another"))
			a.image("m")
			r.clock.advance(3 * delay)
			send(b)
			same(t, "collected", a.run(), "blob config m")
			r.clock.advance(delay - time.Second)
			same(t, "collected before the delay", a.run(), "")
			b.blob("config m")
			b.push("v2", manifest("m"))
			r.clock.advance(3 * delay)
			same(t, "collected", a.run(), "")
			b.whole(manifest("m"))
		})
	}
}

// TestSharedLongUpload: a session whose body comes for hours at another process
// than the one that collects goes on.
func TestSharedLongUpload(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	a.push("v1", a.image("another"))
	r.clock.advance(3 * delay)
	content := bytes.Repeat([]byte("x"), 10)
	id, err := b.StartUpload(b.ctx(), repo, oci.SHA256)
	b.ok(err)
	pieces := 0
	_, err = b.FinishUpload(b.ctx(), repo, id, digest(content), 0, &pausing{bytes.NewReader(content), func() {
		pieces++
		r.clock.advance(delay * 3 / 4)
		same(t, "collected", a.run(), "")
	}})
	b.ok(err)
	if pieces < len(content) {
		t.Fatalf("the body came in %d pieces", pieces)
	}
	left, err := b.StartUpload(b.ctx(), repo, oci.SHA256)
	b.ok(err)
	_, err = b.AppendUpload(b.ctx(), repo, left, 0, strings.NewReader("some"))
	b.ok(err)
	r.clock.advance(3 * delay)
	same(t, "collected", a.run(), "blob "+string(content)+", upload "+string(repo))
}

// pausing is a body that comes byte by byte, with something before each.
type pausing struct {
	io.Reader
	before func()
}

func (p *pausing) Read(b []byte) (int, error) {
	p.before()
	return p.Reader.Read(b[:1])
}
