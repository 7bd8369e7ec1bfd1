package rows

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

const (
	blobsPerRepo = 14
	indexEntries = 100_000
	// tidied is how long after its last write the index has given back the
	// memory that it took for that.
	tidied = 30 * time.Second
)

// enforce measures berth dedupe over 2,000 repositories with 28,000 blobs.
func enforce(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	const work = "berth dedupe, 2,000 repositories, 28,000 blobs"
	const target, limit = "≤ 0.6 s: a fifth of a peer's start", 0.6
	var lines []report.Line
	for _, c := range []struct {
		what   string
		link   bool
		judged bool
	}{{"CPU, blobs shared already", true, true}, {"CPU, every blob apart", false, false}} {
		dir, err := e.dir()
		if err != nil {
			return lines, err
		}
		if err := manyBlobs(dir, c.link); err != nil {
			return lines, err
		}
		settle()
		first, said, err := e.dedupeOnce(dir)
		if err != nil {
			return lines, err
		}
		e.Say("  %s: %.3f s: %s", c.what, first, said)
		line := report.Line{Work: work, Measure: c.what, Berth: fmt.Sprintf("%.2f s", first)}
		if c.judged {
			line.Target, line.Verdict = target, report.Judge(first <= limit)
		}
		second, said, err := e.dedupeOnce(dir)
		if err != nil {
			return lines, err
		}
		e.Say("  again: %.3f s: %s", second, said)
		again := regexp.MustCompile(`: 0 repositories looked into, \d+ unchanged, 0 blobs`).MatchString(said)
		lines = append(lines, line, report.Line{
			Work: work, Measure: "the same, again", Berth: fmt.Sprintf("%.2f s", second), Target: "no walk", Verdict: report.Judge(again),
		})
		if err := os.RemoveAll(dir); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// dedupeOnce runs berth dedupe and returns its CPU in seconds and what it said.
func (e *Env) dedupeOnce(root string) (cpu float64, said string, err error) {
	cmd := exec.Command(e.Berth, "dedupe", "--root", root)
	out, err := cmd.Output()
	if err != nil {
		return 0, "", fmt.Errorf("berth dedupe: %w\n%s", err, out)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), string(out), nil
}

// manyBlobs makes 2,000 layouts of 14 blobs each, which all hold: as links to
// one file, or apart.
func manyBlobs(root string, link bool) error {
	blobs := client.NewSource(4<<10, 4).Take(blobsPerRepo)
	for n := range manyRepos {
		dir := filepath.Join(root, repoName(n))
		if err := layoutOf(dir); err != nil {
			return err
		}
		for _, b := range blobs {
			path := blobFile(dir, b.Digest)
			var err error
			if link && n > 0 {
				err = os.Link(blobFile(filepath.Join(root, repoName(0)), b.Digest), path)
			} else {
				err = writeParts(path, b.Parts)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// layoutOf makes an empty layout.
func layoutOf(dir string) error {
	return errors.Join(
		os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644),
		os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o644),
	)
}

func blobFile(layout, digest string) string {
	return filepath.Join(layout, "blobs/sha256", digest[len("sha256:"):])
}

func writeParts(path string, parts [][]byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// openIndex measures memory with the dedupe index open.
func openIndex(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	config, err := e.config(peer.Berth, options{})
	if err != nil {
		return nil, err
	}
	if err := bigLayout(filepath.Join((&peer.Server{Config: config}).Data(), "big"), indexEntries); err != nil {
		return nil, err
	}
	all, err := e.rounds([]peer.Kind{peer.Berth}, 1, func(k peer.Kind) (s sample, err error) {
		err = e.with(k, options{dir: config.Dir}, func(i *instance) (err error) {
			s, err = openIndexLoad(i)
			return err
		})
		return s, err
	})
	if err != nil {
		return nil, err
	}
	const work = "idle, dedupe index open, 100,000 entries"
	return []report.Line{
		all.under(all.line(work, "anonymous memory", anonymous, report.MiB), anonymous, "≤ 14 MiB", 14<<20),
		all.line(work, "RSS", rss, report.MiB),
	}, nil
}

// openIndexLoad lets the index be opened and built, and be still open when the
// memory is read.
func openIndexLoad(i *instance) (sample, error) {
	conn := client.New(i.Addr)
	defer conn.Close()
	push := func() error {
		return conn.PushBlob("other", client.NewSource(1<<10, uint64(time.Now().UnixNano())).Next())
	}
	if err := push(); err != nil {
		return sample{}, err
	}
	if err := atRest(i); err != nil {
		return sample{}, err
	}
	time.Sleep(tidied)
	m, err := i.Tree().Memory()
	s := sample{}
	s.peaks.Memory = m
	return s, err
}

// atRest waits until a server has done nothing for a moment.
func atRest(i *instance) error {
	for range 120 {
		before, err := i.Tree().CPU()
		if err != nil {
			return err
		}
		time.Sleep(rest)
		after, err := i.Tree().CPU()
		if err != nil {
			return err
		}
		if after-before < 20*time.Millisecond {
			return nil
		}
	}
	return errors.New("the server is never idle")
}

// bigLayout makes a layout of n tiny blobs.
func bigLayout(dir string, n int) error {
	if err := layoutOf(dir); err != nil {
		return err
	}
	for k := range n {
		content := fmt.Appendf(nil, "entry %d", k)
		if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", fmt.Sprintf("%x", sha256.Sum256(content))), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
