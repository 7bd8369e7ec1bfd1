package load

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const manyTags = 10_000

// tagPages reads the tags page by page.
func tagPages(t *testing.T, c *wire.Client, path string) (tags []string, pages int) {
	t.Helper()
	for path != "" {
		var list struct{ Tags []string }
		a := c.Get(path).Want(200)
		a.JSON(&list)
		tags = append(tags, list.Tags...)
		path = a.Next()
		pages++
	}
	return tags, pages
}

// Ten thousand tags, pushed by eight clients and listed in order.
func TestManyTags(t *testing.T) {
	s, c := start(t)
	images := []fixture.Node{fixture.SimpleImage("many-a"), fixture.SimpleImage("many-b")}
	for _, n := range images {
		c.Push("many", "", n)
	}
	want := make([]string, manyTags)
	var clients sync.WaitGroup
	failures := make(chan error, 8)
	for worker := range 8 {
		clients.Go(func() {
			for i := worker; i < manyTags; i += 8 {
				want[i] = fmt.Sprintf("tag-%d", i)
				a, err := c.Try(wire.ManifestRequest("many", want[i], images[i%2]))
				if err == nil && a.Status != 201 {
					err = &wire.StatusError{Answer: a}
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	clients.Wait()
	close(failures)
	for err := range failures {
		t.Fatal(err)
	}
	slices.Sort(want)

	listed := func(c *wire.Client) {
		t.Helper()
		if got, pages := tagPages(t, c, "/v2/many/tags/list?n=999"); !slices.Equal(got, want) || pages < 10 {
			t.Errorf("%d tags in %d pages, or in another order", len(got), pages)
		}
		if got, _ := tagPages(t, c, "/v2/many/tags/list"); !slices.Equal(got, want) {
			t.Errorf("%d tags without n, or in another order", len(got))
		}
	}
	listed(c)
	for _, i := range []int{0, 1, 4_999, 9_999} {
		c.Get(wire.ManifestPath("many", fmt.Sprintf("tag-%d", i))).Want(200).WantBody(images[i%2].Content)
	}
	for i := range 100 {
		c.Delete(wire.ManifestPath("many", want[i*7])).Want(202)
		want[i*7] = ""
	}
	want = slices.DeleteFunc(want, func(tag string) bool { return tag == "" })
	listed(c)
	if err := fixture.CheckLayout(s.Dir("many")); err != nil {
		t.Error(err)
	}
	s.Stop()
	again := harness.Start(t, harness.Config{Root: s.Root})
	listed(wire.New(t, again.URL()))
}
