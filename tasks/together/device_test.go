package together_test

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"berth/cache"
	"berth/fsstore"
	"berth/oci"
	"berth/oci/glob"
	"berth/oci/registry"
	"berth/oci/subpath"
	"berth/tasks/dedupe"
	"berth/tasks/gc"
	"berth/tasks/retention"
	"berth/tasks/scrub"
	"berth/tasks/usage"
)

// delay is the least age of what is collected, on the clock that runs ahead.
const delay = time.Hour

// device is a registry over one root or two, with everything that runs beside it.
type device struct {
	t      *testing.T
	badger bool
	commit bool
	clock  clock
	roots  []*root

	reg    *registry.Registry
	router *subpath.Router
	usage  *usage.Memory
	end    func()

	mu     sync.Mutex                            // guards images
	images map[oci.Repo]map[oci.Tag][]oci.Digest // acknowledged, with their blobs
}

// root is a directory with a store and its jobs.
type root struct {
	dir    string
	prefix string // of its repositories' names, with a slash at its end
	store  *fsstore.Store
	index  oci.Locations
	gc     *gc.Collector
	scrub  *scrub.Scrubber
}

func newDevice(t *testing.T, roots int, badger, commit bool) *device {
	d := &device{t: t, badger: badger, commit: commit, images: map[oci.Repo]map[oci.Tag][]oci.Digest{}}
	for _, prefix := range []string{"", "far/"}[:roots] {
		d.roots = append(d.roots, &root{dir: t.TempDir(), prefix: prefix})
	}
	d.start()
	return d
}

func (d *device) start() {
	d.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, r := range d.roots {
		d.open(ctx, &running, r)
	}
	d.router = subpath.New(d.roots[0].store)
	for _, r := range d.roots[1:] {
		if err := d.router.Attach("far", r.store); err != nil {
			d.t.Fatal(err)
		}
	}
	d.usage = usage.New(usage.Options{Now: d.clock.now})
	opts := registry.Options{Remember: delay, Now: d.clock.now, Usage: d.usage}
	if d.roots[0].index != nil {
		opts.Finder = d.roots[0].index
	}
	d.reg = registry.New(d.router, opts)
	for _, r := range d.roots {
		d.employ(r)
	}
	running.Go(func() { d.work(ctx) })
	d.end = func() {
		stop()
		running.Wait()
		for _, r := range d.roots {
			if err := r.store.Close(); err != nil {
				d.t.Error(err)
			}
		}
	}
}

// open opens the store of a root, and its dedupe index.
func (d *device) open(ctx context.Context, running *sync.WaitGroup, r *root) {
	d.t.Helper()
	opts := fsstore.Options{Root: r.dir, Commit: d.commit, Dedupe: true, MinFree: 1}
	var x *cache.Index
	if d.badger {
		x = cache.New(cache.Options{
			Dir: filepath.Join(r.dir, ".berth/index"), Group: time.Millisecond, Floor: 1,
			Rebuild: func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
				return dedupe.Rebuild(r.store)(ctx, add)
			},
		})
		opts.Locations = x
	}
	var err error
	if r.store, err = fsstore.Open(opts); err != nil {
		d.t.Fatal(err)
	}
	r.index = opts.Locations
	running.Go(func() { _ = r.store.Run(ctx) })
	if x != nil {
		running.Go(func() { _ = x.Run(ctx) })
	}
}

// employ makes the jobs of a root.
func (d *device) employ(r *root) {
	opts := gc.Options{Registry: d.reg, Store: r.store, Prefix: r.prefix, Delay: delay, Now: d.clock.now}
	if r.prefix == "" {
		opts.Elsewhere = isFar
	}
	r.gc = gc.New(opts)
	r.scrub = scrub.New(r.store, scrub.Options{
		Now:  d.clock.now,
		Lost: func(repo oci.Repo, one oci.Digest) { d.reg.Forget(oci.Repo(r.prefix)+repo, one) },
	})
}

// work runs all jobs, again and again, and the clock ahead.
func (d *device) work(ctx context.Context) {
	policies := &retention.Set{Policies: []retention.Policy{{
		Repositories:  []glob.Pattern{mustGlob(d.t, "**/strict")},
		KeepTags:      []retention.Rule{{PushedCount: 1}},
		DeleteUnnamed: true,
	}}}
	keep := retention.New(retention.Options{
		Registry: d.reg, Store: d.router, Usage: d.usage, Now: d.clock.now,
		Sets: func(oci.Repo) *retention.Set { return policies },
	})
	for n := 0; ctx.Err() == nil; n++ {
		_, err := keep.Run(ctx, nil)
		d.failed(ctx, "retention", err)
		for _, r := range d.roots {
			_, err = r.gc.Run(ctx, nil, gc.Request{})
			d.failed(ctx, "collection", err)
			_, err = r.scrub.Run(ctx, nil)
			d.failed(ctx, "scrub", err)
			_, err = dedupe.Run(ctx, r.store, r.index, dedupe.Options{All: n%2 == 0, Entries: 1 << (n % 8)})
			d.failed(ctx, "dedupe", err)
		}
		d.clock.leap(delay / 3)
	}
}

func (d *device) failed(ctx context.Context, job string, err error) {
	if err != nil && ctx.Err() == nil {
		d.t.Errorf("%s: %v", job, err)
	}
}

func mustGlob(t *testing.T, s string) glob.Pattern {
	t.Helper()
	p, err := glob.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// harm does to the files of a root's dedupe index what a bad medium does.
func (d *device) harm(rng *rand.Rand) {
	dir := filepath.Join(d.roots[rng.IntN(len(d.roots))].dir, ".berth/index")
	if rng.IntN(3) == 0 {
		if err := os.RemoveAll(dir); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	var files []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		return
	}
	one := files[rng.IntN(len(files))]
	content, err := os.ReadFile(one)
	if err != nil || len(content) == 0 {
		return
	}
	switch rng.IntN(3) {
	case 0:
		content = content[:rng.IntN(len(content))]
	case 1:
		content[rng.IntN(min(len(content), 2000))] ^= 0x55
	case 2:
		_ = os.Remove(one)
		return
	}
	if err := os.WriteFile(one, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
}
