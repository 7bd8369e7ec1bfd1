package load

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// together runs a function in n clients at once and reports what they return.
func together(t *testing.T, n int, client func(i int) error) {
	t.Helper()
	var clients sync.WaitGroup
	failures := make([]error, n)
	begin := make(chan struct{})
	for i := range n {
		clients.Go(func() {
			<-begin
			failures[i] = client(i)
		})
	}
	close(begin)
	clients.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Error(err)
	}
}

// expect sends a request that must get one of the given answers.
func expect(c *wire.Client, r wire.Request, status ...int) (*wire.Answer, error) {
	a, err := c.Try(r)
	if err == nil && !slices.Contains(status, a.Status) {
		err = &wire.StatusError{Answer: a}
	}
	return a, err
}

// Sixteen clients push one tag: it names one of their images, each of which is
// there by digest, and nobody reads half a thing meanwhile.
func TestPushesOfOneTag(t *testing.T) {
	s, c := start(t)
	const writers, rounds = 16, 20
	images := make([]fixture.Node, writers)
	for i := range images {
		images[i] = fixture.Image(fixture.Options{}, fixture.Layer("race/shared", 10_000), fixture.Layer(fmt.Sprint("race", i), 1_000))
	}
	c.Push("race", "v1", images[0])
	together(t, writers+4, func(i int) error {
		for range rounds {
			if i < writers {
				if err := c.TryPush("race", "v1", images[i]); err != nil {
					return err
				}
				continue
			}
			a, err := expect(c, wire.Request{Method: "GET", Path: wire.ManifestPath("race", "v1")}, 200)
			if err != nil {
				return err
			}
			if got := digest.FromBytes(a.Body).String(); got != a.Header.Get("Docker-Content-Digest") {
				return fmt.Errorf("the body is %s, the header says %s", got, a.Header.Get("Docker-Content-Digest"))
			}
		}
		return nil
	})
	for _, n := range images {
		c.PullWhole("race", "", n)
	}
	now := c.Get(wire.ManifestPath("race", "v1")).Want(200)
	if !slices.ContainsFunc(images, func(n fixture.Node) bool { return bytes.Equal(n.Content, now.Body) }) {
		t.Errorf("v1 names a manifest that nobody pushed: %s", now.Body)
	}
	if err := fixture.CheckLayout(s.Dir("race")); err != nil {
		t.Error(err)
	}
}

// Pushes of a manifest race deletes of it. Each answer was true: what a tag
// names afterwards can be pulled whole, and nothing else is listed.
func TestPushAgainstDelete(t *testing.T) {
	s, c := start(t)
	image := fixture.MultiArch("push-delete")
	c.Push("pd", "keep", fixture.SimpleImage("keep"))
	c.Push("pd", "", image)
	together(t, 8, func(i int) error {
		for range 60 {
			if i%2 == 0 {
				if _, err := expect(c, wire.ManifestRequest("pd", fmt.Sprint("t", i), image), 201); err != nil {
					return err
				}
				continue
			}
			if _, err := expect(c, wire.Request{Method: "DELETE", Path: wire.ManifestPath("pd", image.Desc.Digest.String())}, 202, 404); err != nil {
				return err
			}
		}
		return nil
	})
	var list struct{ Tags []string }
	c.Get("/v2/pd/tags/list").Want(200).JSON(&list)
	for _, tag := range list.Tags {
		if tag != "keep" {
			c.PullWhole("pd", tag, image)
		}
	}
	if err := fixture.CheckLayout(s.Dir("pd")); err != nil {
		t.Error(err)
	}
	// The last word counts.
	c.Push("pd", "last", image)
	c.PullWhole("pd", "last", image)
	c.Delete(wire.ManifestPath("pd", image.Desc.Digest.String())).Want(202)
	c.Get(wire.ManifestPath("pd", "last")).Want(404)
}

// Mounts race deletes and pushes of their source: a mount that was answered
// 201 holds its bytes whatever becomes of the source.
func TestMountAgainstDelete(t *testing.T) {
	_, c := start(t)
	n := fixture.Raw(octets, fixture.Bytes("mount-delete", 50_000))
	c.PushBlob("source", n)
	together(t, 8, func(i int) error {
		for round := range 60 {
			switch i {
			case 0:
				if _, err := expect(c, wire.Request{Method: "DELETE", Path: wire.BlobPath("source", n.Desc.Digest)}, 202, 404); err != nil {
					return err
				}
			case 1:
				if err := c.TryPushBlob("source", n); err != nil {
					return err
				}
			default:
				if err := mountAndPull(c, fmt.Sprintf("target/%d/%d", i, round%5), n); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func mountAndPull(c *wire.Client, repo string, n fixture.Node) error {
	a, err := expect(c, wire.Request{Method: "POST", Path: wire.UploadsPath(repo) + "?from=source&mount=" + n.Desc.Digest.String()}, 201, 202)
	if err != nil || a.Status == 202 {
		return err
	}
	got, err := expect(c, wire.Request{Method: "GET", Path: wire.BlobPath(repo, n.Desc.Digest)}, 200)
	if err == nil && !bytes.Equal(got.Body, n.Content) {
		err = fmt.Errorf("%s: a mounted blob has other bytes", repo)
	}
	if err != nil {
		return err
	}
	_, err = expect(c, wire.Request{Method: "DELETE", Path: wire.BlobPath(repo, n.Desc.Digest)}, 202)
	return err
}

// Everybody pushes the same blob and image at once, into fresh repositories.
func TestSamePushAtOnce(t *testing.T) {
	s, c := start(t)
	image := fixture.MultiArch("same")
	for round := range 5 {
		repo := fmt.Sprint("same/", round)
		together(t, 12, func(i int) error { return c.TryPush(repo, fmt.Sprint("t", i), image) })
		for i := range 12 {
			c.PullWhole(repo, fmt.Sprint("t", i), image)
		}
		if err := fixture.CheckLayout(s.Dir(repo)); err != nil {
			t.Error(err)
		}
	}
}

// Referrers that are pushed at once are all listed.
func TestReferrersAtOnce(t *testing.T) {
	_, c := start(t)
	subject := fixture.SimpleImage("subject")
	c.Push("ref", "v1", subject)
	together(t, 16, func(i int) error {
		for j := range 5 {
			if err := c.TryPush("ref", "", fixture.Artifact("application/vnd.example", fmt.Sprint(i, j), &subject, nil)); err != nil {
				return err
			}
		}
		return nil
	})
	var index struct{ Manifests []struct{ Digest string } }
	c.Get("/v2/ref/referrers/" + subject.Desc.Digest.String()).Want(200).JSON(&index)
	if len(index.Manifests) != 80 {
		t.Errorf("%d referrers, want 80", len(index.Manifests))
	}
}
