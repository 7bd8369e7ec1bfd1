package background

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// blob is content that is pushed by itself.
func blob(name string, size int) fixture.Node {
	return fixture.Raw(octets, fixture.Bytes(name, size))
}

// post pushes a blob in one request, with its length or without.
func post(c *wire.Client, repo string, n fixture.Node, known bool) *wire.Answer {
	r := wire.Request{Method: "POST", Path: wire.UploadsPath(repo) + "?digest=" + n.Desc.Digest.String(), Bytes: n.Content}
	if !known {
		r.Bytes, r.Stream = nil, io.MultiReader(bytes.NewReader(n.Content))
	}
	return c.Do(r)
}

// startCounted is start for a server with a limit of bytes that covers a
// repository: it returns when what is stored was counted. A push waits for that
// only for a while, and what is pushed meanwhile may be counted twice.
func startCounted(t *testing.T, c harness.Config, repo string) (*harness.Server, *wire.Client) {
	t.Helper()
	s, client := start(t, c)
	post(client, repo, blob("asks for a count", 1), true).Want(201)
	harness.Eventually(t, "what is stored was counted", func() error {
		for line := range strings.Lines(harness.Run(t, harness.Binary(t), "tasks", "--json", "--root", s.Root)) {
			var task struct{ Name, Last string }
			if err := json.Unmarshal([]byte(line), &task); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if task.Name == "budgets" && task.Last != "" {
				return nil
			}
		}
		return errors.New("it was not")
	})
	return s, client
}

// TestFullBudget: what does not fit is refused with a message that says what is
// needed and what is free; pulls go on, and what is deleted makes room.
func TestFullBudget(t *testing.T) {
	t.Parallel()
	_, c := startCounted(t, harness.Config{File: "[storage]\nmaxBytes = 1000000\n"}, "app")
	first := blob("first", 400_000)
	post(c, "app", first, true).Want(201)
	c.Push("app", "v1", image("v1"))
	large := blob("large", 600_000)
	for _, known := range []bool{true, false} {
		post(c, "app", large, known).WantError(507)
		c.Head(wire.BlobPath("app", large.Desc.Digest)).Want(404)
	}
	a := post(c, "app", large, true).WantError(507)
	for _, part := range []string{"600000 bytes are to be stored", "are free of the 1000000 that storage.maxBytes allows"} {
		if !strings.Contains(string(a.Body), part) {
			t.Errorf("the answer lacks %q: %s", part, a.Body)
		}
	}
	session := c.StartUpload("app")
	c.Do(wire.Request{Method: "PATCH", Path: session, Bytes: large.Content}).WantError(507)
	c.PullWhole("app", "v1", image("v1"))
	// What another repository holds already takes no room.
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("other") + "?mount=" + first.Desc.Digest.String() + "&from=app"}).Want(201)
	c.Delete(wire.BlobPath("other", first.Desc.Digest)).Want(202)
	post(c, "app", large, true).WantError(507)
	c.Delete(wire.BlobPath("app", first.Desc.Digest)).Want(202)
	// What goes while it is being counted is seen to be gone by the next count,
	// for which who is refused asks.
	harness.Eventually(t, "there is room", func() error {
		if a := post(c, "app", large, true); a.Status != 201 {
			return fmt.Errorf("%d: %s", a.Status, a.Body)
		}
		return nil
	})
	wantTags(t, c, "app", "v1")
}

// TestFullBudgetAtStart: what was stored before the start counts too.
func TestFullBudgetAtStart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, c := start(t, harness.Config{Root: root})
	post(c, "app", blob("first", 900_000), true).Want(201)
	s.Stop()
	_, c = startCounted(t, harness.Config{Root: root, File: "[storage]\nmaxBytes = \"1MB\"\n"}, "app")
	post(c, "app", blob("second", 200_000), true).WantError(507)
	post(c, "app", blob("third", 50_000), true).Want(201)
}

const evicting = `[storage]
maxBytes = 640000
highWatermark = 90
lowWatermark = 65
evictPushed = true
keep = ["app:pinned"]
`

// TestLeastRecentlyPulledGo: pins and what was pulled stay, also over a restart.
func TestLeastRecentlyPulledGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, c := startCounted(t, harness.Config{Root: root, File: evicting}, "app")
	for _, tag := range []string{"pinned", "a", "b", "c"} {
		c.Push("app", tag, image(tag))
	}
	c.PullWhole("app", "a", image("a"))
	s.Stop()
	if info, err := os.Stat(root + "/.berth/usage"); err != nil || info.Size() > 1000 {
		t.Errorf("what is kept of uses: %v, %v", info, err)
	}
	s, c = startCounted(t, harness.Config{Root: root, File: evicting}, "app")
	c.Push("app", "d", image("d"))
	// Five images are no more than nine tenths of the limit; six are.
	c.Push("other", "e", image("e"))
	wantTags(t, c, "app", "a d pinned")
	for _, part := range []string{"tag=b", "tag=c", "limit=storage.maxBytes", "size=", "pulled="} {
		s.WaitLog(part)
	}
	c.PullWhole("app", "a", image("a"))
	c.PullWhole("app", "pinned", image("pinned"))
}

// TestEvictionMakesRoom: what is refused fits when old tags have gone, and with
// them their content; pins and the latest are whole.
func TestEvictionMakesRoom(t *testing.T) {
	t.Parallel()
	_, c := start(t, harness.Config{File: evicting + "gcDelay = \"1s\"\n"})
	c.Push("app", "pinned", image("pinned"))
	for i := range 10 { // about 1 MB, into 640 kB
		name := fmt.Sprint("v", i)
		harness.Eventually(t, name+" can be pushed", func() error { return c.TryPush("app", name, image(name)) })
	}
	c.PullWhole("app", "pinned", image("pinned"))
	c.PullWhole("app", "v9", image("v9"))
}

// TestPushedStays: without evictPushed nothing that was pushed goes, however
// full it is.
func TestPushedStays(t *testing.T) {
	t.Parallel()
	s, c := startCounted(t, harness.Config{File: "[[storage.budgets]]\nrepositories = [\"cache/**\"]\nmaxBytes = 320000\n"}, "cache/a")
	c.Push("app", "v1", image("app"))
	c.Push("cache/a", "v1", image("a"))
	c.Push("cache/b", "v1", image("b"))
	c.Push("cache/c", "v1", image("c"))
	s.WaitLog("no more tags may be removed")
	post(c, "cache/c", blob("too much", 75_000), true).WantError(507)
	c.Push("app", "v2", image("app2"))
	for repo, want := range map[string]string{"app": "v1 v2", "cache/a": "v1", "cache/b": "v1", "cache/c": "v1"} {
		if got := tags(c, repo); got != want {
			t.Errorf("%s has the tags %q, want %q", repo, got, want)
		}
	}
}

// TestEarlyRefusal: the answer comes before the bytes of the body.
func TestEarlyRefusal(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: "[storage]\nmaxBytes = 100000\n"})
	post(c, "app", blob("first", 10_000), true).Want(201)
	body := &counted{left: 1 << 30}
	r, err := http.NewRequest("POST", s.URL()+wire.UploadsPath("app")+"?digest="+blob("x", 1).Desc.Digest.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = body.left
	r.Header.Set("Content-Type", octets)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 507 {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// counted is a body of zeros.
type counted struct{ left int64 }

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.left)
	c.left -= n
	return int(n), nil
}

// TestConfigurationOfLimits: mistakes are told where they stand.
func TestConfigurationOfLimits(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{NoWait: true, File: "[storage]\nkeep = [\"a b\"]\n[[storage.retention.policies]]\nrepositories = [\"x//y\"]\nkeepTags = [{ patterns = [\"(\"] }]\n"})
	if err := s.Wait(); err == nil {
		t.Error("it started")
	}
	for _, part := range []string{`pattern "a b"`, `pattern "x//y" has an empty segment`, "no regular expression"} {
		if !strings.Contains(s.Log(), part) {
			t.Errorf("%q is not told: %s", part, s.Log())
		}
	}
}
