package media

import (
	"context"
	"strings"
	"testing"
	"time"

	"berth/fsstore/archive/archivetest"
	"berth/oci"
	"berth/oci/subpath"
)

func image(tb testing.TB, content string) map[string]string {
	tb.Helper()
	return archivetest.Image(tb, oci.SHA256, content)
}

func writeLayout(tb testing.TB, dir, content string) {
	tb.Helper()
	archivetest.WriteFiles(tb, dir, image(tb, content))
}

func archiveOf(tb testing.TB, content string) []byte {
	tb.Helper()
	return archivetest.Tar(tb, archivetest.Members(image(tb, content), "", 0))
}

// bench is a watcher that runs, and what it serves.
type bench struct {
	*testing.T
	dir    string
	router *subpath.Router
	log    *archivetest.Log
}

func start(t *testing.T, opts Options) *bench {
	t.Helper()
	b := &bench{T: t, dir: opts.Path, router: subpath.New(nil), log: &archivetest.Log{}}
	if b.dir == "" {
		b.dir = realPath(t.TempDir())
	}
	opts.Path, opts.Prefix, opts.Table = b.dir, "usb", b.router
	opts.Log = b.log.Logger()
	w, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := b.catalog(); got != "" {
			t.Errorf("still served after the end: %s", got)
		}
	})
	return b
}

func (b *bench) catalog() string {
	b.Helper()
	var names []string
	err := b.router.WalkRepos(context.Background(), "", func(r oci.Repo) error {
		names = append(names, string(r))
		return nil
	})
	if err != nil {
		b.Error(err)
	}
	return strings.Join(names, " ")
}

// within is how long to wait for what takes at most two seconds on a machine
// that is not loaded.
const within = 2 * time.Minute

// wait waits until the catalog is as wanted.
func (b *bench) wait(want string) {
	b.Helper()
	b.until("catalog is not "+want, func() bool { return b.catalog() == want })
}

func (b *bench) until(what string, is func() bool) {
	b.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s; catalog: %s\nlog:\n%s", what, b.catalog(), b.log)
		}
	}
}
