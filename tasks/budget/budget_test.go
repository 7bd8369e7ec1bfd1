package budget_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/budget"
	"berth/oci/ocitest"
	"berth/oci/registry"
	job "berth/tasks/budget"
	"berth/tasks/usage"
)

// world is a registry in memory under limits, whose uses are dated by a clock of
// the test's.
type world struct {
	*registry.Registry
	t        *testing.T
	now      time.Time
	inner    *ocitest.Memory
	ledger   *budget.Ledger
	usage    *usage.Memory
	rules    []job.Rules
	log      bytes.Buffer
	collects int
	job      *job.Job
}

// newWorld makes a world with one limit for all repositories.
func newWorld(t *testing.T, max int64, rules job.Rules, more ...budget.Limit) *world {
	w := &world{t: t, now: time.Now(), inner: ocitest.NewMemory()}
	clock := func() time.Time { return w.now }
	limits := append([]budget.Limit{{
		Name: "storage.maxBytes", Covers: func(oci.Repo) bool { return true },
		Bytes: func() int64 { return max }, High: 90, Low: 55, Whole: true,
	}}, more...)
	if rules.Pinned == nil {
		rules.Pinned = func(oci.Repo, oci.Tag) bool { return false }
	}
	for range limits {
		w.rules = append(w.rules, rules)
	}
	w.ledger = budget.NewLedger(budget.Options{Now: clock, Patience: time.Nanosecond}, limits...)
	w.usage = usage.New(usage.Options{Now: clock})
	w.Registry = registry.New(budget.Wrap(w.inner, w.ledger), registry.Options{Usage: w.usage, Sparse: registry.SparseNone})
	w.job = job.New(job.Options{
		Registry: w.Registry, Store: w.inner, Ledger: w.ledger, Rules: w.rules, Usage: w.usage,
		Collect: func() { w.collects++ }, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: clock,
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// layer pushes a blob of 10,000 bytes.
func (w *world) layer(repo oci.Repo, name string) oci.Digest {
	w.t.Helper()
	content := []byte(strings.Repeat(name+" ", 10_000)[:10_000])
	d := oci.SHA256.FromBytes(content)
	w.ok(w.PushBlob(w.t.Context(), repo, d, bytes.NewReader(content)))
	return d
}

// image pushes an image of layers of 10,000 bytes, and lets an hour pass.
func (w *world) image(ref string, layers ...string) oci.Digest {
	w.t.Helper()
	name, tag, _ := strings.Cut(ref, ":")
	repo := oci.Repo(name)
	w.ok(w.PushBlob(w.t.Context(), repo, oci.SHA256.FromString("{}"), strings.NewReader("{}")))
	var list []string
	for _, l := range layers {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/x.layer","digest":%q,"size":10000}`, w.layer(repo, l)))
	}
	return w.manifest(repo, tag, oci.MediaTypeManifest, fmt.Sprintf(
		`"config":{"mediaType":"application/x","digest":%q,"size":2},"layers":[%s]`, oci.SHA256.FromString("{}"), strings.Join(list, ",")))
}

// manifest pushes a manifest, by its digest where there is no tag.
func (w *world) manifest(repo oci.Repo, tag, mediaType, fields string) oci.Digest {
	w.t.Helper()
	content := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,%s}`, mediaType, fields))
	d := oci.SHA256.FromBytes(content)
	ref := oci.Reference{Tag: oci.Tag(tag)}
	if tag == "" {
		ref = oci.Reference{Digest: d}
	}
	_, err := w.PushManifest(w.t.Context(), repo, registry.ManifestPush{Ref: ref, Content: content})
	w.ok(err)
	w.now = w.now.Add(time.Hour)
	return d
}

func (w *world) pull(ref string) {
	w.t.Helper()
	name, tag, _ := strings.Cut(ref, ":")
	_, err := w.Manifest(w.t.Context(), oci.Repo(name), oci.Reference{Tag: oci.Tag(tag)})
	w.ok(err)
	w.now = w.now.Add(time.Hour)
}

func (w *world) run() job.LimitReport {
	w.t.Helper()
	w.log.Reset()
	report, err := w.job.Run(w.t.Context(), nil)
	w.ok(err)
	return report.Limits[0]
}

// want fails the test unless these are all tags.
func (w *world) want(refs string) {
	w.t.Helper()
	var all []string
	w.ok(w.inner.WalkRepos(w.t.Context(), "", func(repo oci.Repo) error {
		tags, _, err := w.Tags(w.t.Context(), repo, registry.Page{N: -1})
		for _, t := range tags {
			all = append(all, fmt.Sprintf("%s:%s", repo, t))
		}
		return err
	}))
	if got := strings.Join(all, " "); got != refs {
		w.t.Errorf("the tags are %q, want %q", got, refs)
	}
}

func pushed() job.Rules { return job.Rules{Pushed: true} }

func TestOldestPullsGo(t *testing.T) {
	w := newWorld(t, 100_000, pushed())
	for _, name := range []string{"a:1", "b:1", "c:1"} {
		w.image(name, name+"x", name+"y")
	}
	if l := w.run(); l.Evicted != 0 || l.Used < 60_000 || l.Used > 65_000 {
		t.Fatalf("below the mark: %+v", l)
	}
	w.pull("a:1")
	w.image("d:1", "d1", "d2")
	w.image("e:1", "e")
	l := w.run() // b, c, a, d, e is the order; 90,000 and the manifests are over 90 %
	if l.Evicted != 2 || l.Frees < 40_000 || w.collects != 1 {
		t.Errorf("%+v, %d collections", l, w.collects)
	}
	w.want("a:1 d:1 e:1")
	for _, s := range []string{"repository=b tag=1", "repository=c tag=1", "limit=storage.maxBytes", "size=2", "pulled=unknown", "used="} {
		if !strings.Contains(w.log.String(), s) {
			t.Errorf("the log lacks %q: %s", s, &w.log)
		}
	}
	// What garbage collection has not taken yet is no reason to go on.
	if l := w.run(); l.Evicted != 0 || l.Garbage < 40_000 || w.collects != 1 {
		t.Errorf("%+v, %d collections", l, w.collects)
	}
	w.now = w.now.Add(time.Hour)
	if w.run(); w.collects != 2 {
		t.Errorf("%d collections", w.collects)
	}
	w.want("a:1 d:1 e:1")
}

func TestPushedStays(t *testing.T) {
	w := newWorld(t, 22_500, job.Rules{})
	w.image("a:1", "x")
	d := w.image("b:1", "y")
	w.usage.Mirrored("b", "1", d)
	if l := w.run(); l.Evicted != 1 {
		t.Errorf("%+v", l)
	}
	w.want("a:1")
	w.image("b:2", "y") // the layers are there still
	if l := w.run(); l.Evicted != 0 || !strings.Contains(w.log.String(), "no more tags may be removed") {
		t.Errorf("%+v: %s", l, &w.log)
	}
	if w.run(); w.log.Len() != 0 {
		t.Errorf("it is told again: %s", &w.log)
	}
	w.want("a:1 b:2")
}

func TestPinsStay(t *testing.T) {
	w := newWorld(t, 33_000, job.Rules{Pushed: true, Pinned: func(r oci.Repo, tag oci.Tag) bool { return r == "a" || tag == "keep" }})
	w.image("a:1", "x")
	w.image("b:1", "y")
	w.image("b:keep", "y") // the same manifest
	w.image("c:1", "z")
	w.run()
	w.want("a:1 b:1 b:keep")
}

// TestAllTagsOfAManifest: a manifest is as young as the youngest of its tags.
func TestAllTagsOfAManifest(t *testing.T) {
	w := newWorld(t, 33_000, pushed())
	w.image("a:old", "x")
	w.image("b:1", "y")
	w.image("c:1", "z")
	w.image("a:new", "x")
	w.run()
	w.want("a:new a:old")
}

// TestSharedLayersFreeNothing: what another tag needs is not counted as freed.
func TestSharedLayersFreeNothing(t *testing.T) {
	w := newWorld(t, 65_000, pushed())
	w.image("a:1", "base", "x")
	w.image("a:2", "base", "y")
	w.image("a:3", "base", "z")
	l := w.run()
	if l.Evicted != 0 {
		t.Fatalf("%+v", l)
	}
	w.image("a:4", "base", "u")
	if l = w.run(); l.Evicted != 0 {
		t.Fatalf("%+v", l)
	}
	w.image("a:5", "base", "v")
	l = w.run() // 60,000 and the manifests; down to 35,750
	if l.Evicted != 3 || l.Frees < 30_000 || l.Frees > 35_000 {
		t.Errorf("%+v", l)
	}
	w.want("a:4 a:5")
}

// TestIndexesAndReferrers: an image index needs its children and what refers to
// them; a child with a tag of its own frees nothing while the index stays.
func TestIndexesAndReferrers(t *testing.T) {
	w := newWorld(t, 46_000, pushed())
	child := w.image("a:child", "x")
	w.manifest("a", "all", oci.MediaTypeIndex, fmt.Sprintf(`"manifests":[{"mediaType":%q,"digest":%q,"size":1}]`, oci.MediaTypeManifest, child))
	sbom := w.layer("a", "sbom")
	w.manifest("a", "", oci.MediaTypeManifest, fmt.Sprintf(
		`"config":{"mediaType":"application/x","digest":%q,"size":2},"layers":[{"mediaType":"application/x","digest":%q,"size":10000}],"subject":{"mediaType":%q,"digest":%q,"size":1}`,
		oci.SHA256.FromString("{}"), sbom, oci.MediaTypeManifest, child))
	w.image("b:1", "y")
	w.image("c:1", "z")
	w.pull("a:all")
	l := w.run()
	if l.Evicted != 3 || l.Frees < 20_000 || l.Frees > 25_000 {
		t.Errorf("%+v", l)
	}
	w.want("a:all")
	_, err := w.Manifest(t.Context(), "a", oci.Reference{Digest: child})
	w.ok(err)
}

// TestRefusedPushMakesRoom: tags go also below the high mark where a push needs
// the room.
func TestRefusedPushMakesRoom(t *testing.T) {
	w := newWorld(t, 100_000, pushed())
	for _, name := range []string{"a:1", "b:1", "c:1"} {
		w.image(name, name+"x", name+"y")
	}
	w.run()
	big := bytes.Repeat([]byte("big "), 11_000)
	err := w.PushBlob(t.Context(), "d", oci.SHA256.FromBytes(big), sized{bytes.NewReader(big)})
	if !errors.Is(err, oci.ErrStorageFull) {
		t.Fatal(err)
	}
	if l := w.run(); l.Evicted != 1 {
		t.Errorf("%+v", l)
	}
	w.want("b:1 c:1")
	if l := w.run(); l.Evicted != 0 {
		t.Errorf("without a push %+v", l)
	}
}

// sized is a body of known length.
type sized struct{ *bytes.Reader }

func (s sized) Remaining() int64 { return int64(s.Len()) }

// TestUsedMeanwhile: a tag that is pulled while the choice is made stays.
func TestUsedMeanwhile(t *testing.T) {
	w := newWorld(t, 22_500, pushed())
	w.image("a:1", "x")
	w.image("b:1", "y")
	faults := ocitest.NewFaults(w.inner)
	walks := 0
	faults.Decide(func(method string) (ocitest.When, error) {
		if method == "WalkRepos" {
			walks++
		}
		return ocitest.Never, nil
	})
	pulledOnce := false
	j := job.New(job.Options{
		Registry: w.Registry, Store: faults, Ledger: w.ledger, Rules: []job.Rules{{
			Pushed: true,
			Pinned: func(r oci.Repo, _ oci.Tag) bool {
				// b is looked at after a, and before anything is removed.
				if r == "b" && !pulledOnce {
					pulledOnce = true
					w.pull("a:1")
				}
				return false
			},
		}}, Usage: w.usage,
	})
	report, err := j.Run(t.Context(), nil)
	w.ok(err)
	if walks != 2 || report.Limits[0].Evicted != 0 {
		t.Errorf("%+v after %d walks", report, walks)
	}
	w.want("a:1 b:1")
	w.run() // chooses anew
	w.want("a:1")
}

// TestOneLimitOfTwo: repositories outside of a limit are left alone.
func TestOneLimitOfTwo(t *testing.T) {
	w := newWorld(t, 1<<30, pushed(), budget.Limit{
		Name: "cache/**", Covers: func(r oci.Repo) bool { return strings.HasPrefix(string(r), "cache/") },
		Bytes: func() int64 { return 22_500 }, High: 90, Low: 60,
	})
	w.image("app:1", "x")
	w.image("cache/a:1", "x")
	w.image("cache/b:1", "y")
	report, err := w.job.Run(t.Context(), nil)
	w.ok(err)
	if len(report.Limits) != 2 || report.Limits[0].Evicted != 0 || report.Limits[1].Evicted != 1 {
		t.Errorf("%+v", report)
	}
	w.want("app:1 cache/b:1")
	if s := report.String(); !strings.Contains(s, "storage.maxBytes: ") || !strings.Contains(s, "cache/**: 20.") || !strings.Contains(s, "1 tags removed that free 1") {
		t.Errorf("the report is %s", s)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t, 22_500, pushed())
	w.image("a:1", "x")
	w.image("b:1", "y")
	faults := ocitest.NewFaults(w.inner)
	run := func(ctx context.Context) error {
		_, err := job.New(job.Options{
			Registry: registry.New(faults, registry.Options{}), Store: faults, Ledger: w.ledger, Rules: w.rules,
		}).Run(ctx, nil)
		return err
	}
	broken := errors.New("broken disk")
	for _, method := range []string{"WalkRepos", "WalkBlobs", "WalkUploads", "OpenBlob", "LoadIndex", "SwapIndex"} {
		faults.Once(method, ocitest.Before, broken)
		if err := run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: error %v", method, err)
		}
		w.want("a:1 b:1")
	}
	faults.Decide(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.ok(run(t.Context()))
	w.want("b:1")
}
