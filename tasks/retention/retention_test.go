package retention_test

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
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/retention"
	"berth/tasks/usage"
)

// world is a registry in memory, whose uses are dated by a clock of the test's.
type world struct {
	*registry.Registry
	t     *testing.T
	now   time.Time
	store *ocitest.Faults
	usage *usage.Memory
	log   bytes.Buffer
	set   retention.Set
	pins  func(oci.Repo, oci.Tag) bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Now(), store: ocitest.NewFaults(ocitest.NewMemory())}
	w.usage = usage.New(usage.Options{Now: func() time.Time { return w.now }})
	w.Registry = registry.New(w.store, registry.Options{Usage: w.usage})
	return w
}

// push pushes an image, and lets an hour pass.
func (w *world) push(repo oci.Repo, content string, tags ...oci.Tag) oci.Digest {
	w.t.Helper()
	config := "{}"
	d := oci.SHA256.FromString(config)
	if err := w.PushBlob(w.t.Context(), repo, d, strings.NewReader(config)); err != nil {
		w.t.Fatal(err)
	}
	manifest := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/x","digest":%q,"size":2},"layers":[],"annotations":{"c":%q}}`,
		oci.MediaTypeManifest, d, content))
	for _, tag := range tags {
		if _, err := w.PushManifest(w.t.Context(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: tag}, Content: manifest}); err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(time.Hour)
	}
	return oci.SHA256.FromBytes(manifest)
}

func (w *world) pull(repo oci.Repo, ref oci.Reference) {
	w.t.Helper()
	if _, err := w.Manifest(w.t.Context(), repo, ref); err != nil {
		w.t.Fatal(err)
	}
}

// run runs a round.
func (w *world) run() retention.Report {
	w.t.Helper()
	w.log.Reset()
	job := retention.New(retention.Options{
		Registry: w.Registry, Store: w.store, Usage: w.usage,
		Sets: func(repo oci.Repo) *retention.Set {
			if strings.HasPrefix(string(repo), "outside/") {
				return nil
			}
			return &w.set
		},
		Pinned: w.pins,
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)), Now: func() time.Time { return w.now },
	})
	report, err := job.Run(w.t.Context(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) tags(repo oci.Repo) string {
	w.t.Helper()
	tags, _, err := w.Tags(w.t.Context(), repo, registry.Page{N: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(tags)
}

func (w *world) want(repo oci.Repo, tags string) {
	w.t.Helper()
	if got := w.tags(repo); got != tags {
		w.t.Errorf("%s has the tags %s, want %s", repo, got, tags)
	}
}

func (w *world) policy(rules ...retention.Rule) {
	w.set.Policies = []retention.Policy{{Name: "the policy", KeepTags: rules}}
}

func TestRound(t *testing.T) {
	w := newWorld(t)
	for _, repo := range []oci.Repo{"app", "outside/app"} {
		for _, tag := range []oci.Tag{"v1", "v2", "v3"} {
			w.push(repo, string(tag), tag)
		}
	}
	w.policy(retention.Rule{PushedCount: 1})
	w.set.DryRun = true
	if r := w.run(); r.Removed != 2 || r.Tags != 3 || r.Repositories != 1 {
		t.Errorf("the report of a dry run is %+v", r)
	}
	w.want("app", "[v1 v2 v3]")
	if !strings.Contains(w.log.String(), "would be removed") {
		t.Errorf("the log of a dry run is %s", &w.log)
	}
	w.set.DryRun = false
	if r := w.run(); r.Removed != 2 || r.String() != "2 of 3 tags removed in 1 repositories" {
		t.Errorf("the report is %v", r)
	}
	w.want("app", "[v3]")
	w.want("outside/app", "[v1 v2 v3]")
	if !strings.Contains(w.log.String(), `tag=v1`) || !strings.Contains(w.log.String(), `policy="the policy" reason="keepTags[0]: number 3 of`) {
		t.Errorf("the log is %s", &w.log)
	}
	if r := w.run(); r.Removed != 0 || r.Tags != 1 {
		t.Errorf("the second report is %+v", r)
	}
}

// TestPullsKeep: also those by digest, for all tags of the manifest.
func TestPullsKeep(t *testing.T) {
	w := newWorld(t)
	w.push("app", "one", "v1")
	two := w.push("app", "two", "v2", "two")
	w.push("app", "three", "v3")
	w.policy(retention.Rule{PulledWithin: 10 * time.Hour})
	w.now = w.now.Add(5 * time.Hour)
	w.pull("app", oci.Reference{Tag: "v1"})
	w.now = w.now.Add(6 * time.Hour)
	w.pull("app", oci.Reference{Digest: two})
	w.run()
	w.want("app", "[two v1 v2]")
	w.now = w.now.Add(6 * time.Hour)
	w.run()
	w.want("app", "[two v2]")
}

func TestPinsStay(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []oci.Tag{"v1", "v2", "v3"} {
		w.push("app", string(tag), tag)
	}
	w.policy(retention.Rule{PushedCount: 1})
	w.pins = func(repo oci.Repo, tag oci.Tag) bool { return repo == "app" && tag == "v1" }
	w.run()
	w.want("app", "[v1 v3]")
}

// TestWithoutUsage: the times of the manifests stand for those of use.
func TestWithoutUsage(t *testing.T) {
	w := newWorld(t)
	w.usage = nil
	w.Registry = registry.New(w.store, registry.Options{})
	w.push("app", "one", "v1")
	w.policy(retention.Rule{PushedWithin: 10 * time.Hour})
	w.run()
	w.want("app", "[v1]")
	w.now = w.now.Add(24 * time.Hour)
	w.set.Delay = 100 * time.Hour
	w.run()
	w.want("app", "[v1]")
	w.set.Delay = time.Hour
	w.run()
	w.want("app", "[]")
}

// TestUseMeanwhile: a tag that is pushed again while the round decides stays.
func TestUseMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.push("app", "one", "v1")
	w.push("app", "two", "v2")
	w.now = w.now.Add(time.Hour)
	w.policy(retention.Rule{PulledWithin: time.Minute})
	job := retention.New(retention.Options{
		Registry: w.Registry, Store: w.store, Usage: w.usage,
		Sets: func(oci.Repo) *retention.Set { return &w.set },
		Now: func() time.Time { // asked when the times have been looked up
			w.pull("app", oci.Reference{Tag: "v1"})
			return w.now
		},
	})
	report, err := job.Run(t.Context(), nil)
	if err != nil || report.Removed != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.want("app", "[v1]")
}

// TestFailures: a repository that fails does not stop the others, the end of
// the context does.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	for _, repo := range []oci.Repo{"a", "b", "c"} {
		w.push(repo, "one", "v1")
	}
	w.now = w.now.Add(time.Hour)
	w.policy(retention.Rule{PushedWithin: time.Minute})
	w.store.Once("SwapIndex", ocitest.Before, errors.New("broken disk"))
	if r := w.run(); r.Failed != 1 || r.Removed != 2 {
		t.Errorf("the report is %+v", r)
	}
	w.want("a", "[v1]")
	if !strings.Contains(w.log.String(), "broken disk") {
		t.Errorf("the log is %s", &w.log)
	}
	w.store.Once("SwapIndex", ocitest.Before, oci.ErrReadOnly)
	if r := w.run(); r.Failed != 0 || r.Removed != 0 {
		t.Errorf("the report of a read-only store is %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := retention.New(retention.Options{
		Registry: w.Registry, Store: w.store, Sets: func(oci.Repo) *retention.Set { return &w.set },
	}).Run(ctx, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.want("a", "[v1]")
}
