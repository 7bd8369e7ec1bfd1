package layouts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// A layout that somebody replaces under the running server is served at once.
func TestReplacedLayout(t *testing.T) {
	s, c := start(t)
	for i, seed := range []string{"a", "b", "c", "d"} {
		image := fixture.SimpleImage("replace" + seed)
		if i > 0 {
			if err := os.Rename(s.Dir("app"), filepath.Join(t.TempDir(), "old")); err != nil {
				t.Fatal(err)
			}
			c.Get(wire.ManifestPath("app", "v1")).Want(404)
		}
		if err := os.Rename(one(t, image), s.Dir("app")); err != nil {
			t.Fatal(err)
		}
		c.PullWhole("app", "v1", image)
	}
}

// The same, with the tools writing into the layout as it lies there, and with
// pushes between.
func TestLayoutEditedInPlace(t *testing.T) {
	s, c := start(t)
	var tags []string
	for _, tag := range []string{"a", "b", "c"} {
		foreign, pushed := fixture.SimpleImage("edit"+tag), fixture.SimpleImage("push"+tag)
		harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+one(t, foreign)+":v1", "oci:"+s.Dir("app")+":"+tag)
		c.PullWhole("app", tag, foreign)
		c.Push("app", "p"+tag, pushed)
		harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+one(t, foreign)+":v1", "oci:"+s.Dir("app")+":moving")
		c.PullWhole("app", "moving", foreign)
		c.PullWhole("app", "p"+tag, pushed)
		tags = append(tags, tag, "p"+tag)
	}
	var list struct{ Tags []string }
	c.Get("/v2/app/tags/list").Want(200).JSON(&list)
	tags = append(tags, "moving")
	slices.Sort(tags)
	if !slices.Equal(list.Tags, tags) {
		t.Errorf("tags are %v, want %v", list.Tags, tags)
	}
	check(t, s.Dir("app"))
}

// A layout that berth does not understand is not served: that repository
// alone, with a clear line in the log.
func TestBrokenLayouts(t *testing.T) {
	s, c := start(t)
	good := fixture.SimpleImage("good")
	write(t, s.Dir("good"), map[string]fixture.Node{"v1": good})
	for name, marker := range map[string]string{
		"version": `{"imageLayoutVersion":"9.9.9"}`, "garbage": "not json", "empty": "", "nothing": `{}`, "missing": "-",
	} {
		repo := "broken/" + name
		write(t, s.Dir(repo), map[string]fixture.Node{"v1": good})
		path := filepath.Join(s.Dir(repo), "oci-layout")
		var err error
		if marker == "-" {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, []byte(marker), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := c.Get(wire.ManifestPath(repo, "v1")); a.Status == 200 {
			t.Errorf("%s is served", repo)
		}
		s.WaitLog(repo)
		c.PullWhole("good", "v1", good)

		if err := os.WriteFile(path, []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
			t.Fatal(err)
		}
		c.PullWhole(repo, "v1", good) // mended
	}
	write(t, s.Dir("broken/index"), map[string]fixture.Node{"v1": good})
	if err := os.WriteFile(filepath.Join(s.Dir("broken/index"), "index.json"), []byte(`{"schemaVersion":2,"manifests":[{`), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := c.Get(wire.ManifestPath("broken/index", "v1")); a.Status == 200 {
		t.Error("a layout with half an index.json is served")
	}
	c.PullWhole("good", "v1", good)
	c.Get("/v2/_catalog").Want(200)
}
