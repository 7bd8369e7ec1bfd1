package s3

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// stormClient pushes, moves, pulls and deletes tags of its own, and moves one
// that others move, too. Each of its requests goes to any of the servers.
type stormClient struct {
	*storm
	id      int
	repo    string
	rand    *rand.Rand
	tags    map[string]*register
	images  map[string]fixture.Node // by digest: all that this client has pushed
	current []stormTag              // those that are not deleted, the oldest first
	deleted []stormTag
}

// stormTag is a tag that has had one value, and may have had it more than once.
type stormTag struct {
	name  string
	image fixture.Node
}

func newStormClient(s *storm, i int) *stormClient {
	return &stormClient{
		storm: s, id: i, repo: s.repo(i), rand: rand.New(rand.NewPCG(s.Seed, uint64(i+1))),
		tags: map[string]*register{"latest": s.latest[i%stormRepos]}, images: map[string]fixture.Node{},
	}
}

// passes tells whether an error is one that a fault may come to: the server was
// gone, or says that it cannot do it now.
func passes(err error) bool {
	if status, ok := errors.AsType[*wire.StatusError](err); ok {
		return status.Answer.Status >= 500
	}
	_, sent := errors.AsType[*url.Error](err)
	return sent || errors.Is(err, io.ErrUnexpectedEOF)
}

// hasStatus tells whether an error is an answer with a status.
func hasStatus(err error, status int) bool {
	answered, ok := errors.AsType[*wire.StatusError](err)
	return ok && answered.Answer.Status == status
}

// any is one of the servers.
func (c *stormClient) any() *wire.Client { return c.server(c.rand.IntN(stormServers - 1)) }

// register is that of a tag of this client's.
func (c *stormClient) register(tag string) *register {
	r := c.tags[tag]
	if r == nil {
		r = &register{}
		c.tags[tag] = r
	}
	return r
}

// try sends a request to any of the servers; another status than these is an
// error.
func (c *stormClient) try(r wire.Request, statuses ...int) (*wire.Answer, error) {
	a, err := c.any().Try(r)
	if err == nil && !slices.Contains(statuses, a.Status) {
		return nil, &wire.StatusError{Answer: a}
	}
	return a, err
}

// run does one round after the other. Its error is something that must not be.
func (c *stormClient) run() error {
	defer c.end()
	for n := 0; ; n++ {
		if err := c.round(n); err != nil {
			return fmt.Errorf("client %d, round %d: %w", c.id, n, err)
		}
		c.rounds.Add(1)
		select {
		case <-c.over:
			return nil
		default:
			c.pause()
		}
	}
}

// pause is a moment in which others may be faster: also who collects garbage,
// who needs one in which a repository stays as it is.
func (c *stormClient) pause() { time.Sleep(time.Duration(c.rand.IntN(250)) * time.Millisecond) }

// currentTags is how many tags a client leaves: so most content is garbage soon,
// and comes again.
const currentTags = 2

func (c *stormClient) round(n int) error {
	tag := stormTag{fmt.Sprintf("w%d-%d", c.id, n), c.image(n)}
	if len(c.deleted) > 0 && c.rand.IntN(3) == 0 {
		tag = c.deleted[c.rand.IntN(len(c.deleted))]
		c.deleted = slices.DeleteFunc(c.deleted, func(d stormTag) bool { return d.name == tag.name })
	}
	if err := c.insist("push of "+tag.name, func() error { return c.push(tag.name, tag.image) }); err != nil {
		return err
	}
	c.current = append(c.current, tag)
	for _, name := range []string{fmt.Sprint("w", c.id), "latest"} {
		moved := c.variant(tag.image, fmt.Sprint(name, "/", c.id, "/", n))
		move := func() error { return c.push(name, moved) }
		var err error
		if name != "latest" {
			err = c.insist("move of "+name, move)
		} else if err = move(); err != nil && (passes(err) || hasStatus(err, 404)) {
			err = nil // who watches this one wants every value once
		}
		if err != nil {
			return err
		}
	}
	pulled := c.current[c.rand.IntN(len(c.current))]
	if err := c.check(c.any(), pulled.name); err != nil && !passes(err) {
		return err
	}
	if len(c.current) > currentTags {
		return c.remove()
	}
	return nil
}

// insist repeats what a fault may have kept from being done. Content that was
// there when it began may be garbage by now: then it begins anew, too.
func (c *stormClient) insist(what string, do func() error) error {
	for deadline := time.Now().Add(2 * harness.Patience); ; {
		err := do()
		switch {
		case err == nil:
			return nil
		case !passes(err) && !hasStatus(err, 404):
			return fmt.Errorf("%s: %w", what, err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s fails again and again: %w", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// image shares layers with those of other clients; now and then it has a large
// one, or is an index.
func (c *stormClient) image(round int) fixture.Node {
	layers := []fixture.Node{c.layer(0), c.layer(1)}
	if round%8 == 5 {
		layers = append(layers, c.layer(2))
	}
	own := map[string]string{"storm": fmt.Sprint(c.id, "/", round)}
	image := fixture.Image(fixture.Options{Annotations: own}, layers...)
	if round%5 == 3 {
		return fixture.Index(image, fixture.Image(fixture.Options{Arch: "arm64", Annotations: own}, layers[0]))
	}
	return image
}

// layer is one of a kind.
func (c *stormClient) layer(kind int) fixture.Node {
	return c.layers[kind][c.rand.IntN(len(c.layers[kind]))]
}

// variant is another manifest of the same layers, so that each manifest has one
// tag.
func (c *stormClient) variant(image fixture.Node, name string) fixture.Node {
	var layers []fixture.Node
	for _, n := range image.All() {
		if n.Desc.MediaType == layerType {
			layers = append(layers, n)
		}
	}
	return fixture.Image(fixture.Options{Annotations: map[string]string{"storm": name}}, layers...)
}

var layerType = fixture.Layer("type", 1).Desc.MediaType

// push pushes all of an image and points a tag at it.
func (c *stormClient) push(tag string, image fixture.Node) error {
	for _, n := range image.All() {
		var err error
		switch {
		case !n.IsManifest():
			err = c.pushBlob(n)
		case n.Desc.Digest != image.Desc.Digest:
			_, err = c.try(wire.ManifestRequest(c.repo, n.Desc.Digest.String(), n), 201)
		}
		if err != nil {
			return err
		}
	}
	c.images[image.Desc.Digest.String()] = image
	if c.rand.IntN(3) == 0 {
		c.pause() // as if there were more to push
	}
	w := c.register(tag).begin(image.Desc.Digest.String())
	_, err := c.try(wire.ManifestRequest(c.repo, tag, image), 201)
	c.register(tag).end(w, err == nil)
	return err
}

// pushBlob does as clients do: it asks whether a blob is there, and sends it in
// one of several ways if not.
func (c *stormClient) pushBlob(n fixture.Node) error {
	path := wire.BlobPath(c.repo, n.Desc.Digest)
	if a, err := c.try(wire.Request{Method: "HEAD", Path: path}, 200, 404); err != nil || a.Status == 200 {
		return err
	}
	post := wire.Request{Method: "POST", Path: wire.UploadsPath(c.repo)}
	octets := map[string]string{"Content-Type": "application/octet-stream"}
	way := c.rand.IntN(4)
	switch way {
	case 0:
		post.Path = wire.Query(post.Path, "mount="+n.Desc.Digest.String()+"&from="+c.storm.repo(c.id+1))
	case 1:
		post.Path, post.Bytes, post.Header = wire.Query(post.Path, "digest="+n.Desc.Digest.String()), n.Content, octets
	}
	a, err := c.try(post, 201, 202)
	if err != nil || a.Status == 201 {
		return err
	}
	location, rest := a.Header.Get("Location"), n.Content
	if way == 2 {
		half := len(rest) / 2
		a, err := c.try(wire.Request{
			Method: "PATCH", Path: location, Bytes: rest[:half],
			Header: map[string]string{"Content-Type": octets["Content-Type"], "Content-Range": fmt.Sprintf("0-%d", half-1)},
		}, 202)
		if err != nil {
			return err
		}
		location, rest = a.Header.Get("Location"), rest[half:]
	}
	return c.finish(location, n, rest)
}

// finish ends an upload. A server that remembers the session as it was before
// another one wrote to it says so, and one that failed may have kept a part:
// then it is asked where the session stands.
func (c *stormClient) finish(location string, n fixture.Node, rest []byte) error {
	for again := 0; ; again++ {
		_, err := c.try(wire.Request{
			Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Bytes: rest,
			Header: map[string]string{"Content-Type": "application/octet-stream"},
		}, 201)
		if err == nil || again == 3 || !hasStatus(err, 416) && !passes(err) {
			return err
		}
		at, err := c.try(wire.Request{Method: "GET", Path: location}, 204)
		if err != nil {
			return err
		}
		last := 0
		if _, err := fmt.Sscanf(at.Header.Get("Range"), "0-%d", &last); err != nil {
			return fmt.Errorf("upload %s: Range is %q", location, at.Header.Get("Range"))
		}
		if rest = n.Content; last > 0 { // 0-0 says that nothing has arrived, and nobody sends one byte
			rest = n.Content[last+1:]
		}
	}
}

// readTag is the digest that a tag stands for, "" where it is not there.
func readTag(server *wire.Client, repo, tag string) (string, error) {
	a, err := server.Try(wire.Request{Method: "GET", Path: wire.ManifestPath(repo, tag), Header: map[string]string{"Accept": wire.Accept}})
	switch {
	case err != nil:
		return "", err
	case a.Status == 200:
		return a.Header.Get("Docker-Content-Digest"), nil
	case a.Status == 404:
		return "", nil
	}
	return "", &wire.StatusError{Answer: a}
}

// check reads a tag, and pulls all of what it stands for.
func (c *stormClient) check(server *wire.Client, tag string) error {
	r := c.register(tag)
	since := r.now()
	value, err := readTag(server, c.repo, tag)
	if err == nil {
		err = r.check(value, since)
	}
	if err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	image, mine := c.images[value]
	if !mine {
		return nil // another client looks at it
	}
	if err := server.TryPullWhole(c.repo, tag, image); err != nil && (passes(err) || r.quiet(since)) {
		return fmt.Errorf("%s, to which %s points, is not whole: %w", value, tag, err)
	}
	return nil
}

// checkAll is check of every tag at one server, while nothing goes wrong any
// more. It notes the blobs that are needed.
func (c *stormClient) checkAll(server *wire.Client, needed map[string]bool) error {
	for tag := range c.tags {
		for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
			err := c.check(server, tag)
			if err == nil {
				break
			}
			if !passes(err) || time.Now().After(deadline) {
				return err
			}
		}
		value, err := readTag(server, c.repo, tag)
		if err != nil {
			return err
		}
		if image, mine := c.images[value]; mine {
			for _, n := range image.All() {
				needed[blobName(c.repo, n.Desc.Digest.String())] = true
			}
		}
	}
	return nil
}

// remove deletes the oldest tag, by its name or by what it stands for.
func (c *stormClient) remove() error {
	tag := c.current[0]
	c.current = c.current[1:]
	ref, byDigest := tag.name, c.rand.IntN(2) == 0
	if byDigest {
		ref = tag.image.Desc.Digest.String()
	}
	err := c.insist("deletion of "+tag.name, func() error {
		w := c.register(tag.name).begin("")
		// Where an earlier try was carried out, it is not there any more.
		_, err := c.try(wire.Request{Method: "DELETE", Path: wire.ManifestPath(c.repo, ref)}, 202, 404)
		c.register(tag.name).end(w, err == nil)
		return err
	})
	if err != nil {
		return err
	}
	c.deleted = append(c.deleted, tag)
	if err := c.check(c.any(), tag.name); err != nil && !passes(err) {
		return err
	}
	if a, err := c.try(wire.Request{Method: "HEAD", Path: wire.ManifestPath(c.repo, ref)}, 200, 404); byDigest && err == nil && a.Status == 200 {
		return fmt.Errorf("%s was deleted, and is there", ref)
	}
	return nil
}
