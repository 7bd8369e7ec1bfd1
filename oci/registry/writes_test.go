package registry_test

import (
	"bytes"
	"context"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// TestWrites: what may leave garbage counts, and what only reads does not.
func TestWrites(t *testing.T) {
	r := registry.New(ocitest.NewMemory(), registry.Options{})
	ctx := context.Background()
	const repo = oci.Repo("a")
	blob := []byte("{}")
	d := oci.SHA256.FromBytes(blob)
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + string(d) + `","size":2},"layers":[]}`)
	for _, step := range []struct {
		name   string
		writes bool
		do     func() error
	}{
		{"PushBlob", true, func() error { return r.PushBlob(ctx, repo, d, bytes.NewReader(blob)) }},
		{"StatBlob", false, func() error { _, err := r.StatBlob(ctx, repo, d); return err }},
		{"Mount", true, func() error { return r.Mount(ctx, "b", repo, d) }},
		{"StartUpload", true, func() error { _, err := r.StartUpload(ctx, repo, oci.SHA256); return err }},
		{"PushManifest", true, func() error {
			_, err := r.PushManifest(ctx, repo, registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: manifest})
			return err
		}},
		{"Manifest", false, func() error { _, err := r.Manifest(ctx, repo, oci.Reference{Tag: "v1"}); return err }},
		{"Expire", true, func() error {
			_, err := r.Expire(ctx, repo, registry.Expiry{Digest: oci.SHA256.FromBytes(manifest), Tags: []oci.Tag{"v1"}})
			return err
		}},
		{"DeleteManifest", true, func() error {
			return r.DeleteManifest(ctx, repo, oci.Reference{Digest: oci.SHA256.FromBytes(manifest)})
		}},
		{"Tags", false, func() error { _, _, err := r.Tags(ctx, repo, registry.Page{}); return err }},
		{"DeleteBlob", true, func() error { return r.DeleteBlob(ctx, repo, d) }},
	} {
		before := r.Writes()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if wrote := r.Writes() != before; wrote != step.writes {
			t.Errorf("%s: counted %v, want %v", step.name, wrote, step.writes)
		}
	}
}
