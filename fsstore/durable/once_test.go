package durable

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

const testPage = 4096

// cachedFile is a file whose pages are in memory or not, as a kernel has them:
// read in groups, ahead of the reader, and dropped in whole groups only.
type cachedFile struct {
	File
	size   int64
	there  []bool // by page
	group  int64  // pages that come and go together
	ahead  int64  // bytes read ahead
	before []bool
	added  int // pages that are there and were not before
	most   int // of them at a time
}

func (f *cachedFile) sequential() {}

func (f *cachedFile) resident(parts []span, off, n int64) []span {
	for p := off / testPage; p < pages(off+n); p++ {
		if f.there[p] {
			parts = add(parts, p*testPage, min((p+1)*testPage, off+n))
		}
	}
	return parts
}

func (f *cachedFile) drop(off, n int64) {
	for p := off / testPage; p < pages(off+n); {
		from, to := f.groupOf(p)
		if from*testPage >= off && min(to*testPage, f.size) <= off+n {
			f.set(from, to, false)
		}
		p = to
	}
}

// set has pages come or go.
func (f *cachedFile) set(from, to int64, there bool) {
	for ; from < to; from++ {
		if f.there[from] != there && !f.before[from] {
			if there {
				f.added++
			} else {
				f.added--
			}
		}
		f.there[from] = there
	}
	f.most = max(f.most, f.added)
}

// groupOf is the group of a page, cut where pages were there before.
func (f *cachedFile) groupOf(p int64) (from, to int64) {
	if f.before[p] {
		return p, p + 1
	}
	from, to = p, p+1
	for from%f.group != 0 && !f.before[from-1] {
		from--
	}
	for to%f.group != 0 && to < int64(len(f.there)) && !f.before[to] {
		to++
	}
	return from, to
}

func (f *cachedFile) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), f.size-off)
	for page := off / testPage; page < pages(min(off+n+f.ahead, f.size)); {
		from, to := f.groupOf(page)
		f.set(from, to, true)
		page = to
	}
	return int(n), nil
}

// TestOnce: whatever was in memory stays there, and nothing else, however the
// kernel groups pages and reads ahead; and never much is there in between.
func TestOnce(t *testing.T) {
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 7))
		size := rng.Int64N(160<<20) + 1
		f := &cachedFile{size: size, there: make([]bool, pages(size)), group: 1 << rng.IntN(10), ahead: rng.Int64N(4 << 20)}
		for range rng.IntN(20) {
			at := rng.IntN(len(f.there))
			for i := at; i < min(at+rng.IntN(3000), len(f.there)); i++ {
				f.there[i] = true
			}
		}
		f.before = slices.Clone(f.there)
		o := NewOnce(f, size, false)
		stop := size
		if seed%4 == 0 {
			stop = rng.Int64N(size) // closed before its end
		}
		read := int64(0)
		for buffer := make([]byte, rng.IntN(2<<20)+4096); read < stop; {
			n, err := o.Read(buffer)
			if err != nil || n == 0 {
				t.Fatalf("seed %d: %d bytes at %d of %d: %v", seed, n, read, size, err)
			}
			read += int64(n)
		}
		if n, err := o.Read(make([]byte, 1)); read == size && (n != 0 || err != io.EOF) {
			t.Errorf("seed %d: at the end: %d, %v", seed, n, err)
		}
		o.Close()
		if !slices.Equal(f.there, f.before) {
			t.Fatalf("seed %d: pages in memory are not the same (group %d, ahead %d)", seed, f.group, f.ahead)
		}
		if most := int64(f.most) * testPage; most > 20<<20 {
			t.Errorf("seed %d: %d bytes were in memory", seed, most)
		}
	}
}

// warmed makes a file of which only some parts are in memory; nil where the
// file system always keeps all.
func warmed(t *testing.T, dir string, size int64, parts ...span) *rootFile {
	t.Helper()
	root, err := OpenRoot(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_ = root.Remove("f")
	file, err := root.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	f := file.(*rootFile)
	content := bytes.Repeat([]byte("once"), int(size/4)+1)[:size]
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.drop(0, size)
	if f.resident(nil, 0, size) != nil {
		f.Close()
		return nil
	}
	for _, p := range parts {
		if _, err := f.ReadAt(make([]byte, p.to-p.from), p.from); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestOncePages: the same on the kernel's own page cache. The kernel may drop
// pages by itself at any time, so that one of several attempts has to do.
func TestOncePages(t *testing.T) {
	const size = 24<<20 + 12345
	for attempt := 1; ; attempt++ {
		f := warmed(t, t.TempDir(), size, span{5<<20 + 3*testPage, 5<<20 + 9*testPage}, span{10 << 20, 12 << 20})
		if f == nil {
			t.Skip("the file system keeps all pages, or the kernel does not tell which are in memory")
		}
		before := f.resident(nil, 0, size)
		byPage := f.mincore(nil, 0, size)
		o := NewOnce(f, size, false)
		n, err := io.Copy(io.Discard, struct{ io.Reader }{o})
		o.Close()
		after := f.resident(nil, 0, size)
		f.Close()
		if err != nil || n != size {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if len(before) > 0 && slices.Equal(before, after) && slices.Equal(before, byPage) {
			return
		}
		if attempt == 10 {
			t.Fatalf("in memory before %v (by page %v), after %v", before, byPage, after)
		}
	}
}

// TestOnceFresh: with fresh nothing of the file is left in memory.
func TestOnceFresh(t *testing.T) {
	const size = 3 << 20
	for attempt := 1; ; attempt++ {
		f := warmed(t, t.TempDir(), size, span{0, size})
		if f == nil {
			t.Skip("the file system keeps all pages, or the kernel does not tell which are in memory")
		}
		o := NewOnce(f, size, true)
		_, err := io.Copy(io.Discard, struct{ io.Reader }{o})
		o.Close()
		after := f.resident(nil, 0, size)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if after == nil {
			return
		}
		if attempt == 10 {
			t.Fatalf("in memory after: %v", after)
		}
	}
}
