package fsstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"berth/fsstore"
	"berth/oci"
)

func benchStore(b *testing.B, commit bool) *fsstore.Store {
	s, err := fsstore.Open(fsstore.Options{Root: b.TempDir(), Commit: commit})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkPush is a blob of 16 KiB by POST and PUT.
func BenchmarkPush(b *testing.B) {
	for _, commit := range []bool{false, true} {
		b.Run(fmt.Sprintf("commit=%v", commit), func(b *testing.B) {
			s := benchStore(b, commit)
			var n atomic.Uint64
			b.SetParallelism(4)
			b.ReportAllocs()
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

func push(b *testing.B, s *fsstore.Store, content []byte) {
	ctx := context.Background()
	id, err := s.CreateUpload(ctx, "r", oci.SHA256)
	if err == nil {
		_, err = s.FinishUpload(ctx, "r", id, digestOf(content), 0, bytes.NewReader(content))
	}
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkPushLarge(b *testing.B) {
	s := benchStore(b, false)
	content := make([]byte, 64<<20)
	b.SetBytes(int64(len(content)))
	for n := uint64(0); b.Loop(); n++ {
		binary.LittleEndian.PutUint64(content, n)
		push(b, s, content)
		if err := s.DeleteBlob(b.Context(), "r", digestOf(content)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSwapIndex(b *testing.B) {
	for _, size := range []int{100, 600000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := benchStore(b, false)
			index := []byte(indexOf(string(bytes.Repeat([]byte("x"), size))))
			version, err := s.SwapIndex(b.Context(), "r", "", index)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if version, err = s.SwapIndex(b.Context(), "r", version, index); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoadUnchanged(b *testing.B) {
	s := benchStore(b, false)
	version, err := s.SwapIndex(b.Context(), "r", "", []byte(empty))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.LoadIndex(b.Context(), "r", version); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenBlob(b *testing.B) {
	s := benchStore(b, false)
	push(b, s, small)
	d := digestOf(small)
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.OpenBlob(b.Context(), "r", d, 0)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkWalkPage lists 100 of 2,000 repositories, from the middle.
func BenchmarkWalkPage(b *testing.B) {
	s := benchStore(b, false)
	for i := range 2000 {
		if _, err := s.SwapIndex(b.Context(), oci.Repo(fmt.Sprintf("team%d/app%d", i%20, i)), "", []byte(empty)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		err := s.WalkRepos(b.Context(), "team5/app", func(oci.Repo) error {
			if n++; n == 100 {
				return io.EOF
			}
			return nil
		})
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}
