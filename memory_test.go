package main

import (
	"testing"
	"testing/fstest"
)

func TestGroupLimit(t *testing.T) {
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"none":      {fstest.MapFS{}, 0},
		"unlimited": {fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, 0},
		"version 2": {fstest.MapFS{
			"proc/self/cgroup": file("0::/system.slice/berth.service\n"),
			"sys/fs/cgroup/system.slice/berth.service/memory.max": file("max\n"),
			"sys/fs/cgroup/system.slice/memory.max":               file("67108864\n"),
			"sys/fs/cgroup/system.slice/memory.high":              file("33554432\n"),
		}, 32 << 20},
		"in a container": {fstest.MapFS{"proc/self/cgroup": file("0::/../x\n"), "sys/fs/cgroup/memory.max": file("33554432")}, 32 << 20},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup":                                    file("5:cpu,memory:/docker/x\n0::/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": file("33554432\n"),
		}, 32 << 20},
		"version 1, none": {fstest.MapFS{"proc/self/cgroup": file("5:memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}, 0},
		"garbage":         {fstest.MapFS{"proc/self/cgroup": file("::\n\nx\n0::\n"), "sys/fs/cgroup/memory.max": file("-1")}, 0},
	} {
		if got := groupLimit(c.root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestHeapShare(t *testing.T) {
	for group, want := range map[int64]int64{0: 0, 16: 8, 32: 16, 64: 48, 128: 96, 1024: 768} {
		if got := heapShare(group << 20); got != want<<20 {
			t.Errorf("heapShare(%d MiB) = %d, want %d MiB", group, got, want)
		}
	}
}
