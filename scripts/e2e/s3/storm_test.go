package s3

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/e2e/faults"
	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
	"berth/s3lite"
)

// weather is how the storm is. It is counted in rounds of the clients, so that
// a slow machine has no other one.
type weather struct {
	Seed      uint64  // E2E_SEED
	Days      int     // E2E_DAYS: of each, one part is stormy and one is calm
	Faults    float64 // E2E_FAULTS: the share of requests to the bucket that go wrong while it is stormy
	KillAfter int     // E2E_KILLS: rounds after which a server is killed then
}

const (
	stormServers = 3
	stormClients = 4
	stormRepos   = 2
	// stormyRounds is how long it is stormy, and collections how often garbage is
	// collected while it is calm.
	stormyRounds, collections = 27, 4
	// calmRate is the share of requests that take longer then.
	calmRate  = 0.3
	stormRoot = "storm/root"
)

func forecast(t *testing.T) weather {
	t.Helper()
	w := weather{Seed: rand.Uint64(), Days: 2, Faults: 0.08, KillAfter: 9}
	for name, field := range map[string]any{"E2E_SEED": &w.Seed, "E2E_DAYS": &w.Days, "E2E_FAULTS": &w.Faults, "E2E_KILLS": &w.KillAfter} {
		if text := os.Getenv(name); text != "" {
			if _, err := fmt.Sscan(text, field); err != nil {
				t.Fatalf("%s=%s: %v", name, text, err)
			}
		}
	}
	t.Logf("E2E_SEED=%d E2E_DAYS=%d E2E_FAULTS=%g E2E_KILLS=%d", w.Seed, w.Days, w.Faults, w.KillAfter)
	return w
}

// storm is servers over one bucket, where requests go wrong.
type storm struct {
	weather
	t       *testing.T
	gateway *harness.Gateway
	proxy   *faults.Proxy
	bucket  *s3lite.Client // straight to the gateway
	configs []harness.Config
	servers []*harness.Server // for the test's own goroutine
	clients []*wire.Client    // of the servers, whichever process that is
	// collecting is held by who collects garbage at a server, and by who starts
	// it: a command that finds no server takes its root for itself.
	collecting [stormServers]sync.Mutex
	layers     [3][]fixture.Node // shared, small and large ones
	latest     [stormRepos]*register
	idle       atomic.Int64  // the server that no client asks: it has time to collect garbage
	rounds     atomic.Int64  // that clients have done
	over       chan struct{} // closed when clients are to end
	end        func()        // closes it
}

func newStorm(t *testing.T, w weather) *storm {
	t.Helper()
	s := &storm{weather: w, t: t, over: make(chan struct{})}
	s.end = sync.OnceFunc(func() { close(s.over) })
	s.bucket, s.gateway = client(t)
	if s.gateway.Torn {
		t.Fatal("several servers cannot share a bucket of a gateway that tears reads: TMPDIR has to be on a file system with extended attributes")
	}
	s.proxy = faults.Start(t, s.gateway.URL, w.Seed)
	s.proxy.Watch(s.announced)
	through := *s.gateway
	through.URL = s.proxy.URL
	for range stormServers {
		c := harness.Config{
			Root: t.TempDir(), Address: harness.FreeAddress(t), Local: true,
			// A client needs longer than the delay at times. What has gone by then
			// nobody would miss where indexes may lack manifests.
			Env: append(through.Env(), "BERTH_HTTP_SPARSE=none", "BERTH_STORAGE_GCDELAY=1s", "BERTH_STORAGE_GCINTERVAL=24h", "BERTH_TASKS_PRESSURE=0",
				"BERTH_STORAGE_STORAGEDRIVER_ROOTDIRECTORY="+stormRoot),
		}
		server := harness.Start(t, c)
		s.configs, s.servers = append(s.configs, c), append(s.servers, server)
		s.clients = append(s.clients, wire.New(t, server.URL()))
	}
	for i := range s.latest {
		s.latest[i] = &register{}
	}
	for i, kind := range []struct{ n, size int }{{10, 100_000}, {10, 3_000}, {3, 6 << 20}} {
		for n := range kind.n {
			s.layers[i] = append(s.layers[i], fixture.Layer(fmt.Sprint("storm/", i, "/", n), kind.size))
		}
	}
	return s
}

// server is one of those that clients ask, for any n.
func (s *storm) server(n int) *wire.Client {
	return s.clients[(int(s.idle.Load())+1+n%(stormServers-1))%stormServers]
}

// repo is one of the repositories.
func (s *storm) repo(i int) string { return fmt.Sprint("storm/app", i%stormRepos) }

// restart kills a server and starts it again. What it held alone is given up as
// if its time had passed.
func (s *storm) restart(i int) {
	s.servers[i].Kill()
	s.forgetLease()
	s.collecting[i].Lock()
	defer s.collecting[i].Unlock()
	s.servers[i] = harness.Start(s.t, s.configs[i])
}

// forgetLease removes the lease of who collects garbage, so that another one
// can: nothing depends on there being one only.
func (s *storm) forgetLease() {
	if err := s.bucket.DeleteObject(context.Background(), stormRoot+"/.berth/leases/gc", ""); err != nil {
		s.t.Error(err)
	}
}

// collect has a server collect garbage. said tells what became of that, whole
// that nothing kept it from it.
func (s *storm) collect(i int) (said string, whole bool) {
	s.collecting[i].Lock()
	defer s.collecting[i].Unlock()
	c := s.configs[i]
	cmd := exec.Command(harness.Binary(s.t), "gc", "--root", c.Root)
	cmd.Env = append(os.Environ(), c.Env...)
	out, err := cmd.CombinedOutput()
	return fmt.Sprintf("%s%v", out, err), err == nil && !strings.Contains(string(out), "skipped")
}

// TestStorm: three servers over one bucket, killed at random, between them and
// the bucket everything that can go wrong, and garbage collected all the time:
// what was acknowledged stays, no tag goes back, nothing hangs for ever, and in
// the end only what is needed is left.
func TestStorm(t *testing.T) {
	s := newStorm(t, forecast(t))
	failures := make(chan error, stormClients+stormRepos)
	var others sync.WaitGroup
	all := make([]*stormClient, stormClients)
	for i := range all {
		all[i] = newStormClient(s, i)
		others.Go(func() { failures <- all[i].run() })
	}
	for i := range s.latest {
		others.Go(func() { failures <- s.watch(i) })
	}
	s.rage()
	s.end()
	others.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	s.proxy.Calm()
	t.Logf("%d rounds, faults %v, requests %v", s.rounds.Load(), s.proxy.Hits(), s.proxy.Seen())
	s.settle(all)
}

// rage is the storm, day by day.
func (s *storm) rage() {
	chance := rand.New(rand.NewPCG(s.Seed, 100))
	for range s.Days {
		s.proxy.SetRate(s.Faults)
		collector := chance.IntN(stormServers)
		s.idle.Store(int64(collector))
		var collected sync.WaitGroup
		collected.Go(func() { _, _ = s.collect(collector) }) // that it fails is a part of it
		for range stormyRounds / s.KillAfter {
			s.await(s.KillAfter)
			s.restart(chance.IntN(stormServers))
		}
		s.proxy.SetRate(calmRate, faults.Late)
		collected.Wait()
		for n := 0; n < collections && s.await(1); {
			if _, whole := s.collect(collector); whole {
				n++
			} else {
				s.forgetLease() // to give it back may have failed
			}
		}
	}
}

// await waits until clients have done so many rounds more, and tells whether
// they have: one of them may have failed.
func (s *storm) await(more int) bool {
	for until := s.rounds.Load() + int64(more); s.rounds.Load() < until; {
		select {
		case <-s.over:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// watch reads a tag that all clients of a repository move.
func (s *storm) watch(i int) error {
	defer s.end()
	for n := 0; ; n++ {
		since := s.latest[i].now()
		value, err := readTag(s.server(n), s.repo(i), "latest")
		if err == nil {
			err = s.latest[i].checkOrder(value, since)
		}
		if err != nil && !passes(err) {
			return fmt.Errorf("the tag latest of %s went back: %w", s.repo(i), err)
		}
		select {
		case <-s.over:
			return nil
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// settle looks, when all is well again, whether every server has everything, and
// whether what nobody needs goes.
func (s *storm) settle(all []*stormClient) {
	s.t.Helper()
	needed := map[string]bool{}
	for i, server := range s.clients {
		for _, c := range all {
			if err := c.checkAll(server, needed); err != nil {
				s.t.Errorf("server %d: %v", i, err)
			}
		}
	}
	if s.t.Failed() {
		return
	}
	harness.Eventually(s.t, "garbage is gone", func() error {
		s.forgetLease()
		said, _ := s.collect(0)
		left := s.blobs()
		for key := range needed {
			if !left[key] {
				s.t.Errorf("%s was collected", key)
			}
		}
		maps.DeleteFunc(left, func(key string, _ bool) bool { return needed[key] })
		if len(left) > 0 {
			return fmt.Errorf("%d blobs are left, such as %s; the command said: %s", len(left), first(left), said)
		}
		return nil
	})
	for _, c := range all {
		if err := c.checkAll(s.clients[1], needed); err != nil {
			s.t.Errorf("when garbage was collected: %v", err)
		}
	}
}

func first(keys map[string]bool) string {
	for key := range keys {
		return key
	}
	return ""
}

// blobs are the repositories' blobs in the bucket, by repository and digest.
func (s *storm) blobs() map[string]bool {
	found := map[string]bool{}
	for i := range stormRepos {
		prefix := stormRoot + "/" + s.repo(i) + "/blobs/"
		err := s.bucket.Walk(context.Background(), prefix, "", func(o s3lite.Info) error {
			algorithm, encoded, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
			found[blobName(s.repo(i), algorithm+":"+encoded)] = true
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return found
}

func blobName(repo, digest string) string { return repo + " " + digest }
