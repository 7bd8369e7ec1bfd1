package fsstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"berth/cache"
	"berth/fsstore"
	"berth/oci"
)

// sharedStore is a store with the dedupe index.
func sharedStore(b *testing.B, commit, dedupe bool) *fsstore.Store {
	b.Helper()
	dir := b.TempDir()
	opts := fsstore.Options{Root: dir, Commit: commit, Dedupe: dedupe, MinFree: 1}
	if dedupe {
		x := cache.New(cache.Options{Dir: filepath.Join(dir, ".berth/index")})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- x.Run(ctx) }()
		b.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
		opts.Locations = x
		for {
			if _, err := x.Count(ctx); err == nil {
				break
			}
		}
	}
	s, err := fsstore.Open(opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// written is how many bytes the process has sent towards a medium.
func written(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "write_bytes: ")
	line, _, _ := strings.Cut(after, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkPushSmallShared is BenchmarkPush with and without the index, each
// blob a new one.
func BenchmarkPushSmallShared(b *testing.B) {
	for _, commit := range []bool{false, true} {
		for _, dedupe := range []bool{false, true} {
			b.Run(fmt.Sprintf("commit=%v,dedupe=%v", commit, dedupe), func(b *testing.B) {
				s := sharedStore(b, commit, dedupe)
				var n atomic.Uint64
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					content := make([]byte, 16<<10)
					for pb.Next() {
						binary.LittleEndian.PutUint64(content, n.Add(1))
						push(b, s, content)
					}
				})
			})
		}
	}
}

// BenchmarkImageAgain pushes an image of six layers with 48 MiB, first to one
// repository and then to others: by mounts, by whole bodies, and by uploads in
// two requests.
func BenchmarkImageAgain(b *testing.B) {
	for _, commit := range []bool{false, true} {
		var layers [][]byte
		for i := range 6 {
			layers = append(layers, bytes.Repeat([]byte(fmt.Sprintf("%7d\n", i)), 1<<20))
		}
		ways := map[string]func(*fsstore.Store, oci.Repo, []byte) error{
			"mount": func(s *fsstore.Store, repo oci.Repo, layer []byte) error {
				return s.LinkBlob(b.Context(), "first", repo, digestOf(layer))
			},
			"body":   pushWhole,
			"chunks": pushChunks,
		}
		b.Run(fmt.Sprintf("commit=%v/first", commit), func(b *testing.B) {
			s := sharedStore(b, commit, true)
			n := uint64(0)
			again(b, func(int) {
				n++
				for _, layer := range layers {
					copied := bytes.Clone(layer)
					binary.LittleEndian.PutUint64(copied, n)
					if err := pushWhole(s, "first", copied); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
		for name, way := range ways {
			b.Run(fmt.Sprintf("commit=%v/%s", commit, name), func(b *testing.B) {
				s := sharedStore(b, commit, true)
				for _, layer := range layers {
					if err := pushWhole(s, "first", layer); err != nil {
						b.Fatal(err)
					}
				}
				again(b, func(i int) {
					for _, layer := range layers {
						if err := way(s, oci.Repo(fmt.Sprintf("again/%d", i)), layer); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

func again(b *testing.B, push func(i int)) {
	before, n := written(b), 0
	for b.Loop() {
		n++
		push(n)
	}
	b.ReportMetric(float64(written(b)-before)/float64(n)/1024, "KiB-written/op")
}

func pushWhole(s *fsstore.Store, repo oci.Repo, layer []byte) error {
	return pushHalves(s, repo, layer, 0)
}

func pushChunks(s *fsstore.Store, repo oci.Repo, layer []byte) error {
	return pushHalves(s, repo, layer, len(layer))
}

func pushHalves(s *fsstore.Store, repo oci.Repo, layer []byte, first int) error {
	ctx := context.Background()
	id, err := s.CreateUpload(ctx, repo, oci.SHA256)
	if err == nil && first > 0 {
		_, err = s.AppendUpload(ctx, repo, id, 0, bytes.NewReader(layer[:first]))
	}
	if err == nil {
		_, err = s.FinishUpload(ctx, repo, id, digestOf(layer), int64(first), bytes.NewReader(layer[first:]))
	}
	return err
}
