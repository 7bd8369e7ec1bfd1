package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

// used notes what the registry tells of uses.
type used struct {
	mu   sync.Mutex // guards said
	said []string
}

func (u *used) Pulled(repo oci.Repo, ref oci.Reference) { u.say("pulled", repo, ref.String()) }
func (u *used) Pushed(repo oci.Repo, tag oci.Tag)       { u.say("pushed", repo, string(tag)) }

func (u *used) say(what string, repo oci.Repo, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.said = append(u.said, fmt.Sprintf("%s %s %s", what, repo, name))
}

// take returns what was told since it was called last.
func (u *used) take() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	defer func() { u.said = nil }()
	return strings.Join(u.said, "; ")
}

func TestUsageIsTold(t *testing.T) {
	u := &used{}
	f := setUp(t, registry.Options{Usage: u})
	one, child := f.image("one"), f.image("child")
	list := index([][]byte{child})
	push := func(ref oci.Reference, content []byte, tags ...oci.Tag) {
		t.Helper()
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: ref, Tags: tags, Content: content})
		f.ok(err)
	}
	pull := func(ref oci.Reference) {
		t.Helper()
		_, err := f.Manifest(f.ctx(), repo, ref)
		f.ok(err)
	}
	push(oci.Reference{Tag: "v1"}, one)
	same(t, "told of a push", u.take(), "pushed a/b v1")
	push(oci.Reference{Tag: "v1"}, one)
	same(t, "told of the same push again", u.take(), "pushed a/b v1")
	push(oci.Reference{Digest: digest(child)}, child)
	same(t, "told of a push without a tag", u.take(), "")
	push(oci.Reference{Digest: digest(list)}, list, "all", "latest")
	same(t, "told of tag parameters", u.take(), "pushed a/b all; pushed a/b latest")

	pull(oci.Reference{Tag: "v1"})
	same(t, "told of a pull", u.take(), "pulled a/b v1")
	pull(oci.Reference{Digest: digest(one)})
	same(t, "told of a pull by digest", u.take(), "pulled a/b "+string(digest(one)))
	pull(oci.Reference{Digest: digest(child)})
	same(t, "told of a pull of what has no tag", u.take(), "")
	_, err := f.Manifest(f.ctx(), repo, oci.Reference{Tag: "none"})
	f.is(err, oci.ErrManifestUnknown)
	same(t, "told of a pull that failed", u.take(), "")
}

func TestExpire(t *testing.T) {
	f := setUp(t, registry.Options{})
	one, two := f.image("one"), f.image("two")
	for tag, content := range map[oci.Tag][]byte{"a": one, "b": one, "c": one, "moved": two} {
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: tag}, Content: content})
		f.ok(err)
	}
	removed, err := f.Expire(f.ctx(), repo, registry.Expiry{
		Digest: digest(one), Tags: []oci.Tag{"a", "b", "moved", "none"},
		Still: func(tag oci.Tag) bool { return tag != "b" },
	})
	f.ok(err)
	if !slices.Equal(removed, []oci.Tag{"a"}) {
		t.Fatalf("removed %v, want a", removed)
	}
	removed, err = f.Expire(f.ctx(), repo, registry.Expiry{Digest: digest(one), Tags: []oci.Tag{"b", "c"}})
	f.ok(err)
	same(t, "removed", len(removed), 2)
	left, _, err := f.Tags(f.ctx(), repo, registry.Page{N: -1})
	f.ok(err)
	same(t, "tags left", fmt.Sprint(left), "[moved]")
	_, err = f.Manifest(f.ctx(), repo, oci.Reference{Digest: digest(one)})
	f.ok(err) // by its digest it is there
	swaps := f.store.Calls("SwapIndex")
	removed, err = f.Expire(f.ctx(), repo, registry.Expiry{Digest: digest(one), Tags: []oci.Tag{"a"}})
	f.ok(err)
	same(t, "removed", len(removed), 0)
	same(t, "writings of the index where nothing goes", f.store.Calls("SwapIndex"), swaps)
	_, err = f.Expire(f.ctx(), "no/such", registry.Expiry{Digest: digest(one), Tags: []oci.Tag{"a"}})
	f.is(err, oci.ErrNameUnknown)
}

// TestExpireSeesPushes: a push of the same content, at the same time, is told
// before the tag is removed, so that Still can know.
func TestExpireSeesPushes(t *testing.T) {
	u := &used{}
	f := setUp(t, registry.Options{Usage: u})
	one := f.image("one")
	push := registry.ManifestPush{Ref: oci.Reference{Tag: "a"}, Content: one}
	_, err := f.PushManifest(f.ctx(), repo, push)
	f.ok(err)
	u.take()
	other := f.image("other")
	pushed := make(chan error, 1)
	// While the leader writes the index for another push, this one waits, and
	// the removal after it.
	f.store.Next("SwapIndex", func() {
		go func() {
			_, err := f.PushManifest(f.ctx(), repo, push)
			pushed <- err
		}()
		if !strings.Contains(u.peek(), "pushed a/b b") {
			t.Error("a push is not told before the index is written")
		}
	})
	_, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "b"}, Content: other})
	f.ok(err)
	f.ok(<-pushed)
	same(t, "told", u.take(), "pushed a/b b; pushed a/b a")
}

func (u *used) peek() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.said, "; ")
}
