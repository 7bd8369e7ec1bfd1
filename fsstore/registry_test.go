package fsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"berth/fsstore/simfs"
	"berth/oci"
	"berth/oci/registry"
)

// images is a registry over a world, and which image each tag may have.
type images struct {
	*world
	reg *registry.Registry
	// states has what a tag may stand for after a power cut: images, or "" for
	// none. One that is not in sure may also stand for none.
	states map[string][]string
	sure   map[string]bool
}

const imageType = "application/vnd.oci.image.manifest.v1+json"

// image makes a manifest and its two blobs from a seed.
func image(seed string) (manifest []byte, blobs [][]byte) {
	blobs = [][]byte{[]byte(`{"seed":"` + seed + `"}`), body(3000, "layer "+seed)}
	manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		imageType, digestOf(blobs[0]), len(blobs[0]), digestOf(blobs[1]), len(blobs[1]))
	return manifest, blobs
}

func newImages(t *testing.T, commit bool) *images {
	i := &images{world: newWorld(t, commit), states: map[string][]string{}, sure: map[string]bool{}}
	i.restart()
	return i
}

func (i *images) restart() { i.reg = registry.New(i.Store, registry.Options{}) }

// will notes that a tag may come to stand for an image, or with "" for none.
// Without commit the new index may survive a power cut, and the manifest not.
func (i *images) will(tag, seed string) {
	i.states[tag] = append(i.states[tag], seed)
	i.sure[tag] = i.sure[tag] && i.commit
}

// did notes an acknowledgement.
func (i *images) did(tag, seed string, err error) error {
	if err == nil && i.commit {
		i.states[tag], i.sure[tag] = []string{seed}, true
	}
	return err
}

// settle makes what there is now the least that may be found.
func (i *images) settle() {
	i.stop()
	for tag, states := range i.states {
		i.states[tag], i.sure[tag] = states[len(states)-1:], true
	}
	i.start()
	i.restart()
}

func (i *images) pushImage(repo oci.Repo, tag oci.Tag, seed string) error {
	_, blobs := image(seed)
	for _, b := range blobs {
		if err := i.reg.PushBlob(i.ctx(), repo, digestOf(b), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return i.pushManifest(repo, tag, seed)
}

func (i *images) pushManifest(repo oci.Repo, tag oci.Tag, seed string) error {
	manifest, _ := image(seed)
	name := string(repo) + ":" + string(tag)
	i.will(name, seed)
	_, err := i.reg.PushManifest(i.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: tag}, MediaType: imageType, Content: manifest})
	return i.did(name, seed, err)
}

func (i *images) mountImage(from, to oci.Repo, tag oci.Tag, seed string) error {
	_, blobs := image(seed)
	for _, b := range blobs {
		if err := i.reg.Mount(i.ctx(), to, from, digestOf(b)); err != nil {
			return err
		}
	}
	return i.pushManifest(to, tag, seed)
}

// remove deletes a tag, or with a seed the manifest that all given tags have.
func (i *images) remove(repo oci.Repo, ref oci.Reference, tags ...string) error {
	for _, tag := range tags {
		i.will(tag, "")
	}
	err := i.reg.DeleteManifest(i.ctx(), repo, ref)
	if errors.Is(err, oci.ErrManifestUnknown) {
		err = nil // repeated
	}
	for _, tag := range tags {
		err = i.did(tag, "", err)
	}
	return err
}

// verify pulls every tag. Where it resolves, its content matches; whole says
// that all its blobs must be there too.
func (i *images) verify(whole bool) {
	i.t.Helper()
	for name, states := range i.states {
		repo, tag, _ := strings.Cut(name, ":")
		got := i.pull(oci.Repo(repo), oci.Tag(tag), states, whole)
		fine := false
		for _, state := range states {
			fine = fine || state == got
		}
		if !fine && !(got == "" && !i.sure[name]) {
			i.t.Errorf("%s: %q, allowed are %q", name, got, states)
		}
	}
}

// pull gives the seed of a tag's image, "" for none.
func (i *images) pull(repo oci.Repo, tag oci.Tag, states []string, whole bool) string {
	i.t.Helper()
	m, err := i.reg.Manifest(i.ctx(), repo, oci.Reference{Tag: tag})
	if errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown) {
		return ""
	}
	if err != nil {
		i.t.Errorf("%s:%s: %v", repo, tag, err)
		return ""
	}
	for _, seed := range states {
		manifest, blobs := image(seed)
		if !bytes.Equal(m.Content, manifest) {
			continue
		}
		for _, b := range blobs {
			got := i.read(key{repo, digestOf(b)})
			if got != nil && !bytes.Equal(got, b) || got == nil && whole {
				i.t.Errorf("%s:%s: blob %.20s: %d of %d bytes", repo, tag, digestOf(b), len(got), len(b))
			}
		}
		return seed
	}
	return "something else"
}

type imageOperation struct {
	name string
	run  func(*images) error
}

func imageOperations() []imageOperation {
	old, _ := image("old")
	return []imageOperation{
		{"push to a new repository", func(i *images) error { return i.pushImage("n/m", "new", "one") }},
		{"push to a repository", func(i *images) error { return i.pushImage("a", "new", "one") }},
		{"move a tag", func(i *images) error { return i.pushImage("a", "old", "one") }},
		{"mount", func(i *images) error { return i.mountImage("a", "b", "new", "keep") }},
		{"delete a tag", func(i *images) error {
			return i.remove("a", oci.Reference{Tag: "old"}, "a:old")
		}},
		{"delete a manifest", func(i *images) error {
			return i.remove("a", oci.Reference{Digest: digestOf(old)}, "a:old")
		}},
		{"push twice", func(i *images) error {
			return errors.Join(i.pushImage("a", "new", "one"), i.pushImage("a", "new", "two"))
		}},
	}
}

func preparedImages(t *testing.T, commit bool) *images {
	t.Helper()
	i := newImages(t, commit)
	if err := errors.Join(i.pushImage("a", "old", "old"), i.pushImage("a", "keep", "keep")); err != nil {
		t.Fatal(err)
	}
	i.settle()
	return i
}

func imageSweep(t *testing.T, test func(t *testing.T, op imageOperation, commit bool, all, changes int)) {
	for _, op := range imageOperations() {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/commit=%v", strings.ReplaceAll(op.name, " ", "_"), commit), func(t *testing.T) {
				t.Parallel()
				i := preparedImages(t, commit)
				i.fs.Fail(simfs.Fault{})
				if err := op.run(i); err != nil {
					t.Fatal(err)
				}
				all, changes := i.fs.Calls()
				test(t, op, commit, all, changes)
			})
		}
	}
}

// TestRegistryPowerCuts cuts the power at every call of a registry's writes.
func TestRegistryPowerCuts(t *testing.T) {
	imageSweep(t, func(t *testing.T, op imageOperation, commit bool, _, changes int) {
		for at := 1; at <= changes+1; at += stride {
			for _, loss := range simfs.Losses {
				for seed := range uint64(2) {
					i := preparedImages(t, commit)
					i.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Done: seed == 1, Changes: true})
					_ = op.run(i)
					log := i.fs.Log()
					i.crash(loss, seed)
					i.restart()
					i.verify(commit)
					i.checkWalk()
					if err := op.run(i); err != nil {
						t.Errorf("again: %v", err)
					}
					i.verify(true)
					if t.Failed() {
						t.Fatalf("cut at call %d, %v, seed %d, after\n%s", at, loss, seed, strings.Join(log, "\n"))
					}
				}
			}
		}
	})
}

// TestRegistryFaults makes every call of a registry's writes fail.
func TestRegistryFaults(t *testing.T) {
	imageSweep(t, func(t *testing.T, op imageOperation, commit bool, all, changes int) {
		var faults []simfs.Fault
		for at := 1; at <= all; at += stride {
			faults = append(faults, simfs.Fault{At: at, Err: syscall.EIO})
		}
		for at := 1; at <= changes; at += stride {
			faults = append(faults,
				simfs.Fault{At: at, Err: syscall.EIO, Done: true, Changes: true},
				simfs.Fault{At: at, Err: syscall.EIO, Sticky: true, Changes: true},
				simfs.Fault{At: at, Err: syscall.ENOSPC, Changes: true},
				simfs.Fault{At: at, Err: syscall.ENOSPC, Sticky: true, Changes: true})
		}
		for _, f := range faults {
			i := preparedImages(t, commit)
			i.fs.Fail(f)
			err := op.run(i)
			log := i.fs.Log()
			i.fs.Fail(simfs.Fault{})
			i.verify(true)
			if err := op.run(i); err != nil {
				t.Errorf("again: %v", err)
			}
			i.verify(true)
			i.settle()
			if n := i.fs.OpenFiles(); n > 0 {
				t.Errorf("%d files are open", n)
			}
			i.crash(simfs.Everything, 0)
			i.restart()
			i.verify(true)
			if t.Failed() {
				t.Fatalf("fault %+v, error %v, after\n%s", f, err, strings.Join(log, "\n"))
			}
		}
	})
}
