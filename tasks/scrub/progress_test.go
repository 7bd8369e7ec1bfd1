package scrub_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/fsstore"
	"berth/oci"
	"berth/tasks/scrub"
)

// many fills several repositories, which share a layer. It returns how many
// bytes a whole round reads.
func (d *disk) many() int64 {
	d.t.Helper()
	for i := range 8 {
		repo := oci.Repo(fmt.Sprintf("r%d", i))
		if i > 0 {
			d.ok(d.LinkBlob(d.ctx(), "r0", repo, oci.SHA256.FromString(large("shared", 2<<20))))
		}
		d.image(repo, "v1", "config of "+string(repo), large("shared", 2<<20), large(string(repo), 1<<20), large("x"+string(repo), 1<<20))
	}
	d.counted()
	d.scrub(scrub.Options{})
	_, whole := d.counted()
	return whole
}

// interrupt runs a round that is stopped at the nth opening of a blob.
func (d *disk) interrupt(n int, opts scrub.Options) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.ctx())
	defer cancel()
	opened := 0
	d.hook = func(oci.Repo, oci.Digest) {
		if opened++; opened == n {
			cancel()
		}
	}
	_, err := scrub.New(d, opts).Run(ctx, nil)
	d.hook = nil
	if !errors.Is(err, context.Canceled) {
		d.t.Fatalf("interrupted: %v", err)
	}
}

// TestRestartGoesOn: what was read before is not read again, but for the
// manifests of one repository and the blob that it stopped at.
func TestRestartGoesOn(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	whole := d.many()
	for _, at := range []int{1, 3, 7, 13, 29} {
		d.interrupt(at, scrub.Options{})
		d.ok(d.Close())
		d.reopen(fsstore.Options{Dedupe: true})
		r := d.scrub(scrub.Options{})
		_, read := d.counted()
		if again := read - whole; again < 0 || again > 2<<20+8192 {
			t.Errorf("stopped at blob %d: %d bytes were read again, a round has %d", at, again, whole)
		}
		if at > 1 && r.Resumed != 1 || r.Affected != 0 || r.Repositories != 8 || r.Manifests != 8 {
			t.Errorf("%+v", r)
		}
	}
	r := d.scrub(scrub.Options{}) // and then begins a new one
	if _, read := d.counted(); read != whole || r.Resumed != 0 {
		t.Errorf("%d bytes, %+v", read, r)
	}
}

// TestDamageOfTheFirstHalf is in the report of a round that was interrupted.
func TestDamageOfTheFirstHalf(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	d.many()
	own := oci.SHA256.FromString(large("r0", 1<<20))
	d.flip("r0", own, 77)
	d.interrupt(13, scrub.Options{})
	r := d.scrub(scrub.Options{})
	d.is("problems", problems(r), "r0 "+short(own)+" rot quarantined")
	if r.Resumed != 1 {
		t.Errorf("%+v", r)
	}
}

// TestProgressIsKeptSeldom: by time, by bytes, and when a round is interrupted;
// never where nothing was read.
func TestProgressIsKeptSeldom(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	d.many()
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	progress := filepath.Join(d.dir, ".berth/scrub/progress.json")
	for name, opts := range map[string]struct {
		scrub.Options
		least, most int
	}{
		"never":         {scrub.Options{Now: c.now, SaveEvery: 24 * time.Hour}, 0, 0},
		"by time":       {scrub.Options{Now: c.now, SaveEvery: 5 * time.Minute}, 2, 6},
		"by bytes":      {scrub.Options{Now: c.now, SaveEvery: 24 * time.Hour, SaveBytes: 6 << 20}, 2, 3},
		"clock set off": {scrub.Options{Now: func() time.Time { c.advance(-time.Hour); return c.now() }}, 8, 100},
	} {
		n := 0
		last := ""
		opened := 0
		d.hook = func(oci.Repo, oci.Digest) {
			content, err := os.ReadFile(progress)
			d.ok(err)
			if last != "" && string(content) != last {
				n++
			}
			last = string(content)
			if opened++; opened%8 == 0 && name != "clock set off" {
				c.advance(10 * time.Minute)
			}
		}
		d.scrub(opts.Options)
		if n < opts.least || n > opts.most {
			t.Errorf("%s: written %d times, want %d to %d", name, n, opts.least, opts.most)
		}
	}
}

// TestDue: a restart brings no round that is not due.
func TestDue(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	due := func(want time.Duration) {
		t.Helper()
		if got := scrub.Due(d, 24*time.Hour, c.now()); got != want {
			t.Errorf("due in %v, want %v", got, want)
		}
	}
	due(0)
	d.many()
	d.scrub(scrub.Options{Now: c.now})
	c.advance(7 * time.Hour)
	due(17 * time.Hour)
	d.interrupt(13, scrub.Options{Now: c.now})
	due(0)
	d.scrub(scrub.Options{Now: c.now})
	due(24 * time.Hour)
	c.advance(25 * time.Hour)
	due(0)
	d.ok(d.SaveNote("scrub/report.json", []byte("{"), true))
	due(0)
}

// TestProgressThatMeansNothing begins a round anew.
func TestProgressThatMeansNothing(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	whole := d.many()
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.interrupt(13, scrub.Options{Now: c.now})
	good, err := d.LoadNote("scrub/progress.json", 1<<24)
	d.ok(err)
	for _, bad := range []string{
		"", "{", "null", `[]`, `{"version":2}`, string(good[:len(good)/2]), strings.Repeat("\x00", len(good)),
		strings.Replace(string(good), `"version":1`, `"version":9`, 1),
		strings.Replace(string(good), `"secret":"`, `"secret":"AAAA`, 1),
		strings.Replace(string(good), `"after":"`, `"after":"../`, 1),
	} {
		d.ok(d.SaveNote("scrub/progress.json", []byte(bad), true))
		d.counted()
		r := d.scrub(scrub.Options{Now: c.now})
		if _, read := d.counted(); read != whole || r.Resumed != 0 {
			t.Errorf("%.60q: %d bytes of %d, resumed %d", bad, read, whole, r.Resumed)
		}
	}
	for age, resumed := range map[time.Duration]int{29 * 24 * time.Hour: 1, 31 * 24 * time.Hour: 0} {
		d.ok(d.SaveNote("scrub/progress.json", good, true))
		old := c.at.Add(age)
		if r := d.scrub(scrub.Options{Now: func() time.Time { return old }}); r.Resumed != resumed {
			t.Errorf("after %v: %+v", age, r)
		}
	}
}

// TestKeysAreBounded: more blobs than are remembered are read again where they
// are shared, and the report is right.
func TestKeysAreBounded(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	whole := d.many()
	d.scrub(scrub.Options{Keys: 1})
	if _, read := d.counted(); read < whole {
		t.Errorf("%d of %d bytes", read, whole)
	}
	own := oci.SHA256.FromString(large("r5", 1<<20))
	d.flip("r5", own, 9)
	d.is("problems", problems(d.scrub(scrub.Options{Keys: 1})), "r5 "+short(own)+" rot quarantined")
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"version":1,"after":"r1","secret":"AAAAAAAAAAAAAAAAAAAAAA==","shared":"AAAAAAAAAAA=","here":"AAA=","report":{"version":1,"round":"x","began":"2026-03-01T12:00:00Z"}}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"report":{"problems":[{"entries":["x"]}]}}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d := newDisk(t, fsstore.Options{})
		a := d.image("a", "v1", "config", "layer")
		d.flip("a", a[2], 2)
		d.ok(d.SaveNote("scrub/progress.json", content, false))
		r, err := scrub.New(d, scrub.Options{}).Run(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		d.table(r)
		r = d.scrub(scrub.Options{})
		d.is("problems of the round after", problems(r), map[bool]string{
			true:  "a " + short(a[2]) + " missing quarantined", // found by the first
			false: "a " + short(a[2]) + " rot quarantined",
		}[strings.Contains(problems(r), "missing")])
	})
}
