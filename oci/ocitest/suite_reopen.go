package ocitest

import (
	"strings"
	"testing"

	"berth/oci"
)

func (s suite) reopened(t *testing.T) {
	h := &helper{t: t, Store: s.open(t)}
	d := h.put("a/b", "content")
	_, err := h.SwapIndex(h.ctx(), "a/b", h.version("a/b"), emptyIndex("one"))
	h.ok(err)
	fresh, partial, failed := h.begin("a/b"), h.begin("a/b"), h.begin("new")
	h.send("a/b", partial, 0, "con", 3)
	_, err = h.AppendUpload(h.ctx(), "new", failed, 0, broken("con"))
	h.is(err, errBroken)
	long := strings.Repeat("0123456789", 300_000)
	large := h.begin("a/b")
	h.send("a/b", large, 0, long, int64(len(long)))

	h.Store = s.reopen(t, h.Store)

	h.holds("a/b", d, "content")
	h.indexed("a/b", emptyIndex("one"))
	same(t, "catalog", h.catalog(""), "a/b")
	h.end("a/b", fresh, oci.SHA256, "")
	h.send("a/b", partial, 3, "sequence", 11)
	h.end("a/b", partial, oci.SHA512, "consequence")
	h.send("new", failed, oci.AtEnd, "trol", 7)
	h.end("new", failed, oci.SHA256, "control")
	h.send("a/b", large, oci.AtEnd, "end", int64(len(long))+3)

	h.Store = s.reopen(t, h.Store)

	h.end("a/b", large, oci.SHA256, long+"end")
	h.isUnknown("a/b", partial)
	_, err = h.SwapIndex(h.ctx(), "a/b", h.version("a/b"), emptyIndex("two"))
	h.ok(err)
	h.indexed("a/b", emptyIndex("two"))
}
