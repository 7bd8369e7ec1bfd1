package ops

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const killRounds = 10

// acknowledged is what clients were told is stored.
type acknowledged struct {
	mu     sync.Mutex // guards images
	images map[string]fixture.Node
}

func (a *acknowledged) add(repo, tag string, n fixture.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images[repo+":"+tag] = n
}

// kill -9 under load, again and again: what was acknowledged is there.
func TestKillUnderLoad(t *testing.T) {
	for _, commit := range []bool{false, true} {
		t.Run(fmt.Sprint("commit=", commit), func(t *testing.T) {
			t.Parallel()
			root, told := t.TempDir(), &acknowledged{images: map[string]fixture.Node{}}
			config := harness.Config{Root: root, File: fmt.Sprintf("[storage]\ncommit = %v\n", commit)}
			for round := range killRounds {
				s, c := start(t, config)
				if err := told.check(c); err != nil {
					t.Fatalf("after %d kills: %v", round, err)
				}
				told.pushUntilKilled(c, s, round)
			}
			s, c := start(t, config)
			if err := told.check(c); err != nil {
				t.Fatal(err)
			}
			if len(told.images) < killRounds {
				t.Errorf("only %d images were acknowledged in %d rounds", len(told.images), killRounds)
			}
			t.Logf("%d images acknowledged", len(told.images))
			for repo := range 3 {
				if err := fixture.CheckLayout(s.Dir(fmt.Sprintf("kill/r%d", repo))); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.images)
}

// pushUntilKilled pushes from several clients and pulls the plug meanwhile, but
// not before something was acknowledged.
func (a *acknowledged) pushUntilKilled(c *wire.Client, s *harness.Server, round int) {
	before := a.count()
	var clients sync.WaitGroup
	for worker := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				repo, tag := fmt.Sprintf("kill/r%d", (worker+i)%3), fmt.Sprintf("t%d-%d-%d", round, worker, i)
				n := fixture.Image(fixture.Options{}, fixture.Layer("kill"+tag, 2_000+rand.IntN(60_000)))
				if c.TryPush(repo, tag, n) != nil {
					return
				}
				a.add(repo, tag, n)
			}
		})
	}
	for end := time.Now().Add(harness.Patience); a.count() == before && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	s.Kill()
	clients.Wait()
}

func (a *acknowledged) check(c *wire.Client) error {
	for name, n := range a.images {
		var repo, tag string
		if _, err := fmt.Sscanf(name, "kill/r%1s:%s", &repo, &tag); err != nil {
			return err
		}
		if err := c.TryPullWhole("kill/r"+repo, tag, n); err != nil {
			return fmt.Errorf("%s was acknowledged: %w", name, err)
		}
	}
	return nil
}

// An interrupted chunked upload goes on where it stopped, after a power switch
// and after a restart, with the bytes that were acknowledged.
func TestUploadSurvivesRestart(t *testing.T) {
	for name, stop := range map[string]func(*harness.Server){"kill": (*harness.Server).Kill, "term": (*harness.Server).Stop} {
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/commit=%v", name, commit), func(t *testing.T) {
				t.Parallel()
				uploadOverRestarts(t, stop, commit)
			})
		}
	}
}

func uploadOverRestarts(t *testing.T, stop func(*harness.Server), commit bool) {
	config := harness.Config{
		Root: t.TempDir(), Address: harness.FreeAddress(t),
		File: fmt.Sprintf("[storage]\ncommit = %v\n", commit),
	}
	n := fixture.Raw(octets, fixture.Bytes("resume", 12_345_678))
	s, c := start(t, config)
	location := c.StartUpload("resume")
	for at := 0; at < len(n.Content); {
		end := min(at+3_000_000, len(n.Content))
		a := c.Do(wire.Request{
			Method: "PATCH", Path: location, Bytes: n.Content[at:end],
			Header: map[string]string{"Content-Range": fmt.Sprintf("%d-%d", at, end-1)},
		}).Want(202)
		stop(s)
		s, c = start(t, config)
		location = c.Get(a.Location()).Want(204).WantHeader("Range", fmt.Sprintf("0-%d", end-1)).Location()
		at = end
	}
	c.Do(wire.Request{Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String())}).Want(201)
	c.Get(wire.BlobPath("resume", n.Desc.Digest)).Want(200).WantBody(n.Content)
}
