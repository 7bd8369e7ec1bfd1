package layouts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// Each tool writes a layout straight below the root of a running berth.
func TestToolsWriteBelowTheRoot(t *testing.T) {
	image, index := fixture.SimpleImage("tools"), fixture.MultiArch("tools")
	for name, tool := range map[string]struct {
		root  fixture.Node
		write func(t *testing.T, s *harness.Server, dir string)
	}{
		"skopeo": {image, func(t *testing.T, s *harness.Server, dir string) {
			harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+one(t, image)+":v1", "oci:"+dir+":v1")
		}},
		"skopeo multi-arch": {index, func(t *testing.T, s *harness.Server, dir string) {
			harness.Run(t, "skopeo", "--insecure-policy", "copy", "--all", "oci:"+one(t, index)+":v1", "oci:"+dir+":v1")
		}},
		"regctl": {index, func(t *testing.T, s *harness.Server, dir string) {
			harness.Run(t, "regctl", "image", "copy", "ocidir://"+one(t, index)+":v1", "ocidir://"+dir+":v1")
		}},
		"crane": {image, func(t *testing.T, s *harness.Server, dir string) {
			wire.New(t, s.URL()).Push("source", "v1", image)
			harness.Run(t, "crane", "--insecure", "pull", "--format=oci", "--annotate-ref", s.Ref("source:v1"), dir)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := start(t)
			tool.write(t, s, s.Dir("made"))
			// crane names no tag: its layouts are served by digest.
			ref := "v1"
			if name == "crane" {
				ref = ""
			}
			c.PullWhole("made", ref, tool.root)
			check(t, s.Dir("made"))
		})
	}
}

// buildah and podman choose the bytes themselves: what they wrote is pulled.
func TestEnginesWriteBelowTheRoot(t *testing.T) {
	s, c := start(t)
	storage := []string{"--root", t.TempDir(), "--runroot", t.TempDir(), "--storage-driver", "vfs"}
	engine := func(name string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(harness.Run(t, name, append(slices.Clone(storage), args...)...))
	}
	container := engine("buildah", "from", "scratch")
	engine("buildah", "config", "--label", "made=by-buildah", container)
	engine("buildah", "commit", "--format", "oci", container, "local:v1")
	if err := os.Mkdir(s.Dir("by"), 0o755); err != nil {
		t.Fatal(err)
	}
	engine("buildah", "push", "local:v1", "oci:"+s.Dir("by/buildah")+":v1")
	engine("podman", "save", "--format", "oci-dir", "--output", s.Dir("by/podman"), "local:v1")

	c.Get(wire.ManifestPath("by/buildah", "v1")).Want(200)
	engine("podman", "rmi", "--all", "--force")
	engine("podman", "pull", "--tls-verify=false", s.Ref("by/buildah:v1"))
	// podman writes the whole reference, localhost/local:v1.
	c.Get(wire.ManifestPath("by/podman", "v1")).Want(200)
	check(t, s.Dir("by/podman"))
}

// Layouts list only top entries; what those reach is served by digest too.
func TestChildrenByDigest(t *testing.T) {
	s, c := start(t)
	nested, image := fixture.Nested("children"), fixture.SimpleImage("children")
	write(t, s.Dir("deep"), map[string]fixture.Node{"nested": nested, "": image})
	c.PullWhole("deep", "nested", nested)
	c.PullWhole("deep", "", image)
	for _, n := range nested.All() {
		if n.IsManifest() {
			c.Head(wire.ManifestPath("deep", n.Desc.Digest.String())).Want(200).WantSize(n.Desc.Size)
		}
	}
}

// ref.name may hold a whole reference.
func TestWholeReferences(t *testing.T) {
	s, c := start(t)
	a, b, d := fixture.SimpleImage("ref-a"), fixture.SimpleImage("ref-b"), fixture.SimpleImage("ref-d")
	write(t, s.Dir("refs"), map[string]fixture.Node{"docker.io/library/app:1.2": a, "localhost:5000/app:latest": b, "plain": d})
	c.PullWhole("refs", "1.2", a)
	c.PullWhole("refs", "latest", b)
	c.PullWhole("refs", "plain", d)
	var list struct{ Tags []string }
	c.Get("/v2/refs/tags/list").Want(200).JSON(&list)
	if want := []string{"1.2", "latest", "plain"}; !slices.Equal(list.Tags, want) {
		t.Errorf("tags are %v, want %v", list.Tags, want)
	}
}

// A manifest listed under the referrers tag schema before berth came.
func TestReferrersOfTheTagSchema(t *testing.T) {
	s, c := start(t)
	subject := fixture.SimpleImage("schema")
	sbom := fixture.Artifact("application/vnd.example.sbom", "parts", &subject, nil)
	tag := "sha256-" + subject.Desc.Digest.Encoded()
	write(t, s.Dir("schema"), map[string]fixture.Node{"v1": subject, tag: fixture.Index(sbom)})
	var index ocispec.Index
	c.Get("/v2/schema/referrers/" + subject.Desc.Digest.String()).Want(200).JSON(&index)
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != sbom.Desc.Digest || index.Manifests[0].ArtifactType != "application/vnd.example.sbom" {
		t.Errorf("referrers are %+v", index.Manifests)
	}
}

// What others wrote into index.json is kept when berth edits it.
func TestForeignEntriesAreKept(t *testing.T) {
	s, c := start(t)
	old := fixture.SimpleImage("foreign-old")
	write(t, s.Dir("kept"), map[string]fixture.Node{"old": old})
	path := filepath.Join(s.Dir("kept"), "index.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var index map[string]any
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	index["annotations"] = map[string]any{"com.example.revision": "r1"}
	index["x-unknown"] = []any{"kept"}
	index["manifests"].([]any)[0].(map[string]any)["annotations"].(map[string]any)["x-mine"] = "too"
	if raw, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}

	fresh := fixture.SimpleImage("foreign-new")
	c.Push("kept", "new", fresh)
	c.PullWhole("kept", "old", old)
	c.PullWhole("kept", "new", fresh)
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"com.example.revision", "x-unknown", "x-mine"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("index.json has lost %s: %s", want, raw)
		}
	}
	check(t, s.Dir("kept"))
	if got := umociTags(t, s.Dir("kept")); !slices.Equal(got, []string{"new", "old"}) {
		t.Errorf("umoci ls tells %v", got)
	}
}

// A layout without the bytes of a blob is served but for that blob.
func TestMissingBlobInLayout(t *testing.T) {
	s, c := start(t)
	image := fixture.SimpleImage("holes")
	write(t, s.Dir("holes"), map[string]fixture.Node{"v1": image})
	layer := image.Children[1]
	if err := os.Remove(fixture.BlobPath(s.Dir("holes"), layer.Desc)); err != nil {
		t.Fatal(err)
	}
	c.Get(wire.ManifestPath("holes", "v1")).Want(200).WantBody(image.Content)
	c.Get(wire.BlobPath("holes", layer.Desc.Digest)).Want(404)
	c.PushBlob("holes", layer)
	c.PullWhole("holes", "v1", image)
	c.Head(wire.BlobPath("holes", digest.FromString("never"))).Want(404)
}
