package s3

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"

	"berth/e2e/faults"
	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// The storm: so many clients do so many rounds, and a server is killed after so
// many of these.
const (
	stormWorkers = 4
	stormRounds  = 16
	killEvery    = 9
)

// storm is servers over one bucket, where requests go wrong.
type storm struct {
	t       *testing.T
	gateway *harness.Gateway
	proxy   *faults.Proxy
	configs []harness.Config
	servers []*harness.Server
	clients []*wire.Client
	rounds  chan struct{} // one for each that a client has done
}

func newStorm(t *testing.T, seed uint64, replicas int) *storm {
	t.Helper()
	s := &storm{t: t, gateway: harness.StartGateway(t), rounds: make(chan struct{}, stormWorkers*stormRounds)}
	if s.gateway.Torn {
		t.Fatal("several servers cannot share a bucket of a gateway that tears reads: TMPDIR has to be on a file system with extended attributes")
	}
	s.proxy = faults.Start(t, s.gateway.URL, seed)
	through := *s.gateway
	through.URL = s.proxy.URL
	for range replicas {
		c := harness.Config{
			Root: t.TempDir(), Address: harness.FreeAddress(t), Local: true,
			Env: append(through.Env(), "BERTH_STORAGE_GCDELAY=2s", "BERTH_STORAGE_GCINTERVAL=1s", "BERTH_STORAGE_STORAGEDRIVER_ROOTDIRECTORY=storm/root"),
		}
		server := harness.Start(t, c)
		s.configs, s.servers = append(s.configs, c), append(s.servers, server)
		s.clients = append(s.clients, wire.New(t, server.URL()))
	}
	return s
}

// restart kills a server and starts it again.
func (s *storm) restart(i int) {
	s.servers[i].Kill()
	s.servers[i] = harness.Start(s.t, s.configs[i])
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

// client is one that pushes, moves, pulls and deletes its own tags.
type stormClient struct {
	*storm
	id      int
	repo    string
	rand    *rand.Rand
	acked   map[string]fixture.Node // by tag: what is there
	moved   []fixture.Node          // what the moving tag was pointed at, in order
	settled int                     // how many of these, up to the last that was acknowledged
}

// any is one of the servers.
func (c *stormClient) any() *wire.Client { return c.clients[c.rand.IntN(len(c.clients))] }

// image shares a layer with those of other clients; now and then it has a large
// one.
func (c *stormClient) image(round int) fixture.Node {
	layers := []fixture.Node{
		fixture.Layer(fmt.Sprint("storm/shared/", c.rand.IntN(3)), 100_000),
		fixture.Layer(fmt.Sprint("storm/own/", c.id, "/", round), 2_000),
	}
	if round%6 == 5 {
		layers = append(layers, fixture.Layer(fmt.Sprint("storm/large/", c.rand.IntN(2)), 6<<20))
	}
	return fixture.Image(fixture.Options{}, layers...)
}

// run does the rounds. Its error is something that must not be.
func (c *stormClient) run() error {
	for round := range stormRounds {
		err := c.push(round)
		if err == nil {
			err = c.pull()
		}
		if err == nil && round%3 == 2 {
			err = c.remove()
		}
		if err != nil {
			return fmt.Errorf("client %d, round %d: %w", c.id, round, err)
		}
		c.rounds <- struct{}{}
	}
	return nil
}

// push pushes an image with a tag of its own, and points the moving tag at it.
func (c *stormClient) push(round int) error {
	image, tag := c.image(round), fmt.Sprintf("w%d-%d", c.id, round)
	err := c.send(tag, image)
	if err != nil {
		// What was there when it was pushed may be garbage by now: for clients
		// that take longer than gcDelay nothing is promised.
		status, ok := errors.AsType[*wire.StatusError](err)
		if passes(err) || ok && status.Answer.Status == 404 {
			return nil
		}
		return err
	}
	c.acked[tag] = image
	c.moved = append(c.moved, image)
	err = c.any().TryFor(wire.ManifestRequest(c.repo, c.moving(), image), 201)
	switch {
	case err == nil:
		c.settled = len(c.moved)
	case !passes(err):
		return err
	}
	return c.look()
}

func (c *stormClient) moving() string { return fmt.Sprint("w", c.id) }

// send pushes an image, each request to any of the servers.
func (c *stormClient) send(tag string, image fixture.Node) error {
	for _, n := range image.All() {
		if n.IsManifest() {
			continue
		}
		if err := c.sendBlob(n); err != nil {
			return err
		}
	}
	return c.any().TryFor(wire.ManifestRequest(c.repo, tag, image), 201)
}

// sendBlob pushes a blob: begun, continued and finished by any of the servers.
func (c *stormClient) sendBlob(n fixture.Node) error {
	post, err := c.any().Try(wire.Request{Method: "POST", Path: wire.UploadsPath(c.repo)})
	if err != nil {
		return err
	}
	if post.Status != 202 {
		return &wire.StatusError{Answer: post}
	}
	location, content := post.Header.Get("Location"), n.Content
	if c.rand.IntN(2) == 0 {
		half := len(content) / 2
		patch, err := c.any().Try(wire.Request{
			Method: "PATCH", Path: location, Bytes: content[:half],
			Header: map[string]string{"Content-Type": "application/octet-stream", "Content-Range": fmt.Sprintf("0-%d", half-1)},
		})
		if err != nil {
			return err
		}
		if patch.Status != 202 {
			return &wire.StatusError{Answer: patch}
		}
		location, content = patch.Header.Get("Location"), content[half:]
	}
	return c.finish(location, n, content)
}

// finish ends an upload. A server that remembers the session as it was before
// another one wrote to it says so: then it is asked where the session stands.
func (c *stormClient) finish(location string, n fixture.Node, rest []byte) error {
	for again := range 3 {
		err := c.any().TryFor(wire.Request{
			Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Bytes: rest,
			Header: map[string]string{"Content-Type": "application/octet-stream"},
		}, 201)
		status, ok := errors.AsType[*wire.StatusError](err)
		if !ok || status.Answer.Status != 416 || again == 2 {
			return err
		}
		at, err := c.any().Try(wire.Request{Method: "GET", Path: location})
		if err != nil {
			return err
		}
		if at.Status != 204 {
			return &wire.StatusError{Answer: at}
		}
		last := -1
		if _, err := fmt.Sscanf(at.Header.Get("Range"), "0-%d", &last); err == nil && last > 0 {
			rest = n.Content[last+1:]
		}
	}
	return nil
}

// look asks any server for the moving tag: it names what was acknowledged last,
// or what was tried after that.
func (c *stormClient) look() error {
	a, err := c.any().Try(wire.Request{Method: "GET", Path: wire.ManifestPath(c.repo, c.moving()), Header: map[string]string{"Accept": wire.Accept}})
	if err != nil || a.Status >= 500 {
		if err == nil || passes(err) {
			return nil
		}
		return err
	}
	for _, image := range c.moved[max(0, c.settled-1):] {
		if a.Status == 200 && string(a.Body) == string(image.Content) {
			return nil
		}
	}
	if a.Status == 404 && c.settled == 0 {
		return nil
	}
	return fmt.Errorf("the tag %s went back: %d %s; %d of %d were acknowledged", c.moving(), a.Status, a.Header.Get("Docker-Content-Digest"), c.settled, len(c.moved))
}

// pull pulls one of the images that were acknowledged.
func (c *stormClient) pull() error {
	for tag, image := range c.acked {
		if err := c.any().TryPullWhole(c.repo, tag, image); err != nil && !passes(err) {
			return fmt.Errorf("%s was acknowledged: %w", tag, err)
		}
		break
	}
	return nil
}

// remove deletes a tag; it may be there or not where that was not acknowledged.
func (c *stormClient) remove() error {
	for tag := range c.acked {
		delete(c.acked, tag)
		err := c.any().TryFor(wire.Request{Method: "DELETE", Path: wire.ManifestPath(c.repo, tag)}, 202)
		if err != nil && !passes(err) {
			return err
		}
		if err != nil {
			break
		}
		a, err := c.any().Try(wire.Request{Method: "GET", Path: wire.ManifestPath(c.repo, tag), Header: map[string]string{"Accept": wire.Accept}})
		if err == nil && a.Status == 200 {
			return fmt.Errorf("%s was deleted, and is there", tag)
		}
		break
	}
	return nil
}

// TestStorm: three servers over one bucket, killed at random, between them and
// the bucket everything that can go wrong, and garbage collected all the time:
// what was acknowledged stays, and no tag goes back.
func TestStorm(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("E2E_SEED=%d", seed)
	s := newStorm(t, seed, 3)
	s.proxy.SetRate(0.08)
	clients := make([]*stormClient, stormWorkers)
	failures := make([]error, stormWorkers)
	var under sync.WaitGroup
	for i := range clients {
		c := &stormClient{storm: s, id: i, repo: fmt.Sprint("storm/app", i%2), rand: rand.New(rand.NewPCG(seed, uint64(i+1))), acked: map[string]fixture.Node{}}
		clients[i] = c
		under.Go(func() { failures[i] = c.run() })
	}
	ended := make(chan struct{})
	go func() { under.Wait(); close(ended) }()
	chance := rand.New(rand.NewPCG(seed, 100))
	for done, going := 0, true; going; {
		select {
		case <-s.rounds:
			if done++; done%killEvery == 0 {
				s.restart(chance.IntN(len(s.servers)))
			}
		case <-ended:
			going = false
		}
	}
	if err := errors.Join(failures...); err != nil {
		t.Error(err)
	}
	s.proxy.SetRate(0)
	t.Logf("faults %v, requests %v", s.proxy.Hits(), s.proxy.Seen())
	for _, c := range clients {
		for i, server := range s.clients {
			c.check(server, i)
		}
	}
}

// check looks, when all is well again, whether a server has everything.
func (c *stormClient) check(server *wire.Client, i int) {
	c.t.Helper()
	for tag, image := range c.acked {
		harness.Eventually(c.t, tag+" is whole", func() error {
			err := server.TryPullWhole(c.repo, tag, image)
			if err != nil && !passes(err) {
				c.t.Errorf("server %d: %s was acknowledged: %v", i, tag, err)
				return nil
			}
			return err
		})
	}
	if err := c.look(); err != nil {
		c.t.Errorf("server %d: %v", i, err)
	}
}
