package dedupe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"berth/fsstore"
	"berth/tasks/dedupe"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// linked makes a root of n repositories with 14 blobs each, ten of which all
// repositories share by links.
func linked(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	for i := range n {
		name := fmt.Sprintf("group%d/repo%04d", i%20, i)
		layout(b, dir, name, blob(10+4*i), blob(11+4*i), blob(12+4*i), blob(13+4*i))
		for k := range 10 {
			to := blobFile(dir, name, blob(1_000_000+k))
			if i == 0 {
				if err := os.WriteFile(to, blob(1_000_000+k), 0o644); err != nil {
					b.Fatal(err)
				}
				continue
			}
			if err := os.Link(filepath.Join(blobFile(dir, "group0/repo0000", blob(1_000_000+k))), to); err != nil {
				b.Fatal(err)
			}
		}
	}
	return dir
}

// BenchmarkEnforce goes over 2,000 repositories with 28,000 blobs in which
// nothing is left to link, and then once more in which nothing has changed.
func BenchmarkEnforce(b *testing.B) {
	dir := linked(b, 2000)
	s, err := fsstore.Open(fsstore.Options{Root: dir, Dedupe: true, MinFree: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("all", func(b *testing.B) { enforceRuns(b, s, dedupe.Options{All: true}) })
	b.Run("unchanged", func(b *testing.B) { enforceRuns(b, s, dedupe.Options{}) })
}

func enforceRuns(b *testing.B, s *fsstore.Store, opts dedupe.Options) {
	before := cpu()
	for b.Loop() {
		report, err := dedupe.Run(b.Context(), s, nil, opts)
		if err != nil || report.Linked != 0 || opts.All && report.Blobs != 28000 {
			b.Fatalf("%+v, %v", report, err)
		}
	}
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op")
}
