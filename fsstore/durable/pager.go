package durable

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ pager = (*rootFile)(nil)

func (f *rootFile) sequential() { _ = unix.Fadvise(f.fd, 0, 0, unix.FADV_SEQUENTIAL) }

func (f *rootFile) drop(off, n int64) { _ = unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED) }

// residentWindow is the part that is looked at page by page where only some of
// it is in memory.
const residentWindow = 1 << 20

// resident asks by cachestat(2) for the whole, for windows of it, and looks
// closer where a window is there in part. Kernels before 6.5 are asked by
// mincore(2) alone.
func (f *rootFile) resident(parts []span, off, n int64) []span {
	cached, ok := f.cached(off, n)
	switch {
	case ok && cached == 0:
		return parts
	case ok && cached >= pages(n):
		return add(parts, off, off+n)
	case n > residentWindow:
		for end := off + n; off < end; off += residentWindow {
			parts = f.resident(parts, off, min(residentWindow, end-off))
		}
		return parts
	}
	return f.mincore(parts, off, n)
}

// cached is how many pages of n bytes from off are in memory; false where the
// kernel does not tell.
func (f *rootFile) cached(off, n int64) (int64, bool) {
	var stat unix.Cachestat_t
	err := retry(func() error {
		return unix.Cachestat(uint(f.fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &stat, 0)
	})
	return int64(stat.Cache), err == nil
}

// mincore asks page by page.
func (f *rootFile) mincore(parts []span, off, n int64) []span {
	mapped, err := unix.Mmap(f.fd, off, int(n), unix.PROT_NONE, unix.MAP_SHARED)
	if err != nil {
		return parts
	}
	defer func() { _ = unix.Munmap(mapped) }()
	there := make([]byte, pages(n))
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mapped))), uintptr(n), uintptr(unsafe.Pointer(&there[0])))
	if errno != 0 {
		return parts
	}
	page := int64(os.Getpagesize())
	for i, in := range there {
		if in&1 != 0 {
			parts = add(parts, off+int64(i)*page, min(off+int64(i+1)*page, off+n))
		}
	}
	return parts
}
