package ocitest

import (
	"fmt"
	"strings"
	"testing"

	"berth/oci"
)

// quarantine tests a store that is an oci.Quarantiner.
func (s suite) quarantine(t *testing.T) {
	if _, ok := s.open(t).(oci.Quarantiner); !ok {
		t.Skip("the store has no quarantine")
	}
	s.run(t, map[string]func(*testing.T, *helper){
		"a damaged blob is gone":            quarantineTakes,
		"a sound blob stays":                quarantineSound,
		"what is not there":                 quarantineUnknown,
		"healed by an upload elsewhere":     quarantineUpload,
		"healed by a manifest elsewhere":    quarantinePut,
		"healed at once from another copy":  quarantineCopy,
		"each copy is taken away by itself": quarantineCopies,
		"another algorithm":                 quarantine512,
	})
	if s.reopen != nil {
		t.Run("a restart forgets nothing", s.quarantineReopened)
	}
}

// damage stores other bytes of the same length under the digest of content.
func (h *helper) damage(repo oci.Repo, d oci.Digest, content string) {
	h.t.Helper()
	h.ok(h.PutBlob(h.ctx(), repo, d, []byte(strings.Repeat("?", len(content)))))
}

// push is an upload of content.
func (h *helper) push(repo oci.Repo, a oci.Algorithm, content string) {
	h.t.Helper()
	id := h.begin(repo)
	h.send(repo, id, 0, content, int64(len(content)))
	h.end(repo, id, a, content)
}

// take quarantines a blob, and tells which repositories lost it and which of
// them have it again.
func (h *helper) take(repo oci.Repo, d oci.Digest, lost, healed string) {
	h.t.Helper()
	q, err := h.Store.(oci.Quarantiner).QuarantineBlob(h.ctx(), repo, d, "it is wrong")
	h.ok(err)
	same(h.t, "sound", q.Sound, false)
	same(h.t, "lost", fmt.Sprint(q.Repos), lost)
	same(h.t, "healed", fmt.Sprint(q.Healed), healed)
}

// reason checks why a repository lacks a blob.
func (h *helper) reason(repo oci.Repo, d oci.Digest, want string) {
	h.t.Helper()
	got, err := h.Store.(oci.Quarantiner).QuarantineReason(h.ctx(), repo, d)
	h.ok(err)
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		h.t.Fatalf("reason %q, want %q", got, want)
	}
}

func quarantineTakes(t *testing.T, h *helper) {
	d, other := oci.SHA256.FromString("content"), h.put("a", "other")
	h.damage("a", d, "content")
	h.reason("a", d, "")
	h.take("a", d, "[a]", "[]")
	h.lacks("a", d)
	h.holds("a", other, "other")
	h.reason("a", d, "it is wrong")
	h.reason("b", d, "")
	h.put("a", "content")
	h.holds("a", d, "content")
	h.reason("a", d, "")
}

func quarantineSound(t *testing.T, h *helper) {
	d := h.put("a", "content")
	q, err := h.Store.(oci.Quarantiner).QuarantineBlob(h.ctx(), "a", d, "a mistake")
	h.ok(err)
	same(t, "sound", q.Sound, true)
	same(t, "lost", len(q.Repos), 0)
	h.holds("a", d, "content")
	h.reason("a", d, "")
}

func quarantineUnknown(t *testing.T, h *helper) {
	h.put("a", "content")
	for _, repo := range []oci.Repo{"a", "nowhere"} {
		_, err := h.Store.(oci.Quarantiner).QuarantineBlob(h.ctx(), repo, oci.SHA256.FromString("x"), "gone")
		h.is(err, oci.ErrBlobUnknown)
	}
	same(t, "catalog", h.catalog(""), "a")
}

func quarantineUpload(t *testing.T, h *helper) {
	d := oci.SHA256.FromString("content")
	for _, repo := range []oci.Repo{"a", "b"} {
		h.damage(repo, d, "content")
	}
	for _, repo := range []oci.Repo{"a", "b"} { // one copy, or two
		q, err := h.Store.(oci.Quarantiner).QuarantineBlob(h.ctx(), repo, d, "it is wrong")
		if err != nil || q.Sound {
			h.is(err, oci.ErrBlobUnknown)
		}
	}
	for _, repo := range []oci.Repo{"a", "b"} {
		h.lacks(repo, d)
		h.reason(repo, d, "it is wrong")
	}
	h.push("c", oci.SHA256, "content")
	for _, repo := range []oci.Repo{"a", "b", "c"} {
		h.holds(repo, d, "content")
		h.reason(repo, d, "")
	}
	same(t, "catalog", h.catalog(""), "a b c")
}

func quarantinePut(t *testing.T, h *helper) {
	d := oci.SHA256.FromString("content")
	h.damage("a", d, "content")
	h.take("a", d, "[a]", "[]")
	h.put("b", "content")
	h.holds("a", d, "content")
	h.holds("b", d, "content")
}

func quarantineCopy(t *testing.T, h *helper) {
	d := h.put("b", "content")
	h.damage("a", d, "content")
	h.take("a", d, "[a]", "[a]")
	h.holds("a", d, "content")
	h.holds("b", d, "content")
	h.reason("a", d, "")
}

// A copy of other bytes is another one, damaged too.
func quarantineCopies(t *testing.T, h *helper) {
	d := oci.SHA256.FromString("content")
	h.damage("a", d, "content")
	h.ok(h.PutBlob(h.ctx(), "b", d, []byte("?!?!?!?")))
	h.take("a", d, "[a]", "[]")
	h.lacks("a", d)
	same(t, "content", h.read("b", d, 0), "?!?!?!?")
	h.take("b", d, "[b]", "[]")
	h.lacks("b", d)
	h.reason("a", d, "it is wrong")
	h.put("c", "content")
	h.holds("a", d, "content")
	h.holds("b", d, "content")
}

func quarantine512(t *testing.T, h *helper) {
	d := oci.SHA512.FromString("content")
	h.damage("a", d, "content")
	h.take("a", d, "[a]", "[]")
	h.lacks("a", d)
	h.put("b", "content") // the same bytes, another digest
	h.lacks("a", d)
	h.push("b", oci.SHA512, "content")
	h.holds("a", d, "content")
}

func (s suite) quarantineReopened(t *testing.T) {
	h := &helper{t: t, Store: s.open(t)}
	d := oci.SHA256.FromString("content")
	h.damage("a", d, "content")
	h.take("a", d, "[a]", "[]")
	h.Store = s.reopen(t, h.Store)
	h.lacks("a", d)
	h.reason("a", d, "it is wrong")
	h.put("b", "content")
	h.holds("a", d, "content")
	h.Store = s.reopen(t, h.Store)
	h.holds("a", d, "content")
	h.reason("a", d, "")
}
