package clients

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// orasRepository opens a repository of a server without TLS.
func orasRepository(t *testing.T, s *harness.Server, name string) *remote.Repository {
	t.Helper()
	r, err := remote.NewRepository(s.Ref(name))
	if err != nil {
		t.Fatal(err)
	}
	r.PlainHTTP = true
	return r
}

func orasContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

func TestORASCopy(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	ctx, c := orasContext(t), wire.New(t, s.URL())
	index := fixture.Nested("oras")
	source, err := oci.NewFromFS(ctx, os.DirFS(layoutWith(t, index)))
	if err != nil {
		t.Fatal(err)
	}
	repo := orasRepository(t, s, "oras/app")

	if _, err := oras.Copy(ctx, source, "v1", repo, "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	c.PullWhole("oras/app", "v1", index)
	if err := repo.Tag(ctx, index.Children[1].Desc, "child"); err != nil {
		t.Fatal(err)
	}
	c.PullWhole("oras/app", "child", index.Children[1])
	tags, err := registry.Tags(ctx, repo)
	if err != nil || !slices.Equal(tags, []string{"child", "v1"}) {
		t.Errorf("oras lists tags %v: %v", tags, err)
	}
	if got, err := oras.Copy(ctx, repo, "v1", memory.New(), "v1", oras.DefaultCopyOptions); err != nil || got.Digest != index.Desc.Digest {
		t.Errorf("oras pulled %s: %v", got.Digest, err)
	}
	if _, err := oras.Copy(ctx, repo, "v1", orasRepository(t, s, "oras/mounted"), "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	c.PullWhole("oras/mounted", "v1", index)
	checkLayout(t, s.Dir("oras/mounted"))
}

func TestORASArtifactsAndReferrers(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	ctx := orasContext(t)
	repo := orasRepository(t, s, "oras/art")

	pack := func(kind, payload string, subject *ocispec.Descriptor) ocispec.Descriptor {
		t.Helper()
		blob := content.NewDescriptorFromBytes("text/plain", []byte(payload))
		if err := repo.Push(ctx, blob, bytes.NewReader([]byte(payload))); err != nil {
			t.Fatal(err)
		}
		d, err := oras.PackManifest(ctx, repo, oras.PackManifestVersion1_1, kind, oras.PackManifestOptions{
			Subject: subject, Layers: []ocispec.Descriptor{blob}, ManifestAnnotations: map[string]string{"kind": payload},
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	subject := pack("application/vnd.example.thing", "the subject", nil)
	sbom := pack("application/vnd.example.sbom", "parts", &subject)
	pack("application/vnd.example.signature", "signed", &subject)

	list, err := registry.Referrers(ctx, repo, subject, "")
	if err != nil || len(list) != 2 {
		t.Errorf("oras lists %d referrers: %v", len(list), err)
	}
	list, err = registry.Referrers(ctx, repo, subject, "application/vnd.example.sbom")
	if err != nil || len(list) != 1 || list[0].Digest != sbom.Digest || list[0].Annotations["kind"] != "parts" {
		t.Errorf("oras lists referrers %+v: %v", list, err)
	}
	if err := repo.Tag(ctx, subject, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := oras.ExtendedCopy(ctx, repo, "v1", memory.New(), "v1", oras.DefaultExtendedCopyOptions); err != nil {
		t.Error(err)
	}
	if err := repo.Delete(ctx, sbom); err != nil {
		t.Fatal(err)
	}
	if list, err = registry.Referrers(ctx, repo, subject, ""); err != nil || len(list) != 1 {
		t.Errorf("after a delete oras lists %d referrers: %v", len(list), err)
	}
	checkLayout(t, s.Dir("oras/art"))
}

func TestORASReadsWhatBerthWrote(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	ctx, c := orasContext(t), wire.New(t, s.URL())
	index := fixture.MultiArch("oras-disk")
	c.Push("oras/disk", "v1", index)
	c.Push("oras/disk", "", fixture.Artifact("application/vnd.example.sbom", "parts", &index, nil))

	store, err := oci.NewFromFS(ctx, os.DirFS(s.Dir("oras/disk")))
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.Resolve(ctx, "v1")
	if err != nil || d.Digest != index.Desc.Digest {
		t.Fatalf("oras finds %s at v1: %v", d.Digest, err)
	}
	for _, n := range index.All() {
		r, err := store.Fetch(ctx, n.Desc)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil || !bytes.Equal(got, n.Content) {
			t.Errorf("oras reads %d bytes for %s: %v", len(got), n.Desc.Digest, err)
		}
	}
	if got, err := store.Predecessors(ctx, index.Desc); err != nil || len(got) != 1 {
		t.Errorf("oras sees %d predecessors of the index on disk: %v", len(got), err)
	}
}
