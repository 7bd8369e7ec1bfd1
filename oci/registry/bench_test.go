package registry_test

import (
	"fmt"
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

// BenchmarkManifest pulls by tag, warm, among so many tags.
func BenchmarkManifest(b *testing.B) {
	for _, n := range []int{1, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := setUp(b, registry.Options{})
			for i := range n {
				f.push(f.image(fmt.Sprint(i)), oci.Tag(fmt.Sprint("t", i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Manifest(f.ctx(), repo, byTag("t0")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPush pushes one manifest under ever new tags.
func BenchmarkPush(b *testing.B) {
	f := setUp(b, registry.Options{})
	body := f.image("m")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.push(body, oci.Tag(fmt.Sprint("t", i%2000)))
		i++
	}
}

// BenchmarkReferrers lists 20 referrers among 2,000 manifests, warm.
func BenchmarkReferrers(b *testing.B) {
	f := setUp(b, registry.Options{})
	s := oci.SHA256.FromString("s")
	for i := range 2000 {
		f.push(f.image(fmt.Sprint(i)), "")
	}
	for i := range 20 {
		f.push(f.image(fmt.Sprint("r", i), subject(s)), "")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Referrers(f.ctx(), repo, s, "", ""); err != nil {
			b.Fatal(err)
		}
	}
}
