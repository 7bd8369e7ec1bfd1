package s3lite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/s3lite/s3test"
)

// keysOf joins all pages of a list; prefixes are marked.
func (p *pair) keysOf(t *testing.T, o ListOptions) []string {
	t.Helper()
	var keys []string
	for {
		page, err := p.ListObjects(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Objects {
			keys = append(keys, i.Key)
		}
		for _, prefix := range page.Prefixes {
			keys = append(keys, "+"+prefix)
		}
		if page.Next == "" {
			return keys
		}
		o.Token = page.Next
	}
}

func TestList(t *testing.T) {
	p := connect(t, s3test.Options{PageSize: 2})
	for _, key := range []string{"a", "b/1", "b/2", "b/c/3", "b/d/4", "b/d/5", "c"} {
		p.server.Put(key, []byte(key), nil)
	}
	for _, c := range []struct {
		o    ListOptions
		want string
	}{
		{ListOptions{}, "a b/1 b/2 b/c/3 b/d/4 b/d/5 c"},
		{ListOptions{Delimiter: "/"}, "a +b/ c"},
		{ListOptions{Prefix: "b/", Delimiter: "/"}, "b/1 b/2 +b/c/ +b/d/"},
		{ListOptions{Prefix: "b/", Delimiter: "/", Max: 1}, "b/1 b/2 +b/c/ +b/d/"},
		{ListOptions{Prefix: "b/", StartAfter: "b/2"}, "b/c/3 b/d/4 b/d/5"},
		{ListOptions{Prefix: "x"}, ""},
	} {
		if got := strings.Join(p.keysOf(t, c.o), " "); got != c.want {
			t.Errorf("%+v: list is %q, want %q", c.o, got, c.want)
		}
	}
	page, err := p.ListObjects(t.Context(), ListOptions{Max: 1})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Size != 1 || page.Objects[0].ETag == "" || page.Objects[0].Modified.IsZero() || page.Next == "" {
		t.Errorf("page is %+v, %v", page, err)
	}
}

func TestWalk(t *testing.T) {
	p := connect(t, s3test.Options{PageSize: 10})
	var want, got []string
	for i := range 35 {
		key := fmt.Sprintf("w/%03d", i)
		want = append(want, key)
		p.server.Put(key, nil, nil)
	}
	p.server.Fail(s3test.Fault{Op: "ListObjectsV2", After: 2, Cut: true, Bytes: 300})
	err := p.Walk(t.Context(), "w/", "w/004", func(i Info) error { got = append(got, i.Key); return nil })
	if err != nil || !slices.Equal(got, want[5:]) {
		t.Errorf("walked %q, %v", got, err)
	}
	p.counts(t, "ListObjectsV2", 3+1)
	stop := errors.New("stop")
	wants(t, "end", p.Walk(t.Context(), "w/", "", func(Info) error { return stop }), stop)
}

func TestDeleteObjects(t *testing.T) {
	p := connect(t, s3test.Options{})
	var keys []string
	for i := range MaxDelete + 5 {
		key := fmt.Sprintf("d/%04d", i)
		p.server.Put(key, nil, nil)
		keys = append(keys, key)
	}
	p.server.Put("kept", nil, nil)
	if err := p.DeleteObjects(t.Context(), append(keys, "missing")); err != nil || !slices.Equal(p.server.Keys(), []string{"kept"}) {
		t.Errorf("%v; %d left", err, len(p.server.Keys()))
	}
	p.counts(t, "DeleteObjects", 2)
	err := p.DeleteObjects(t.Context(), []string{"kept", s3test.Undeletable + "x"})
	wants(t, "one that may not go", err, ErrAccessDenied)
	if !strings.Contains(fmt.Sprint(err), "bucket/undeletable/x") || len(p.server.Keys()) > 0 {
		t.Errorf("error is %v, left are %v", err, p.server.Keys())
	}
	wants(t, "nothing", p.DeleteObjects(t.Context(), nil), nil)
}

// TestKeysAsTheyAre: a server that does not encode keys is read, too.
func TestKeysAsTheyAre(t *testing.T) {
	var l lister
	for _, e := range [][2]string{{"Contents/Key", "a+b%20"}, {"Contents", ""}, {"CommonPrefixes/Prefix", "c+/"}, {"IsTruncated", "false"}, {"NextContinuationToken", "x"}} {
		if err := l.element("ListBucketResult/"+e[0], e[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.finish(); err != nil || l.page.Objects[0].Key != "a+b%20" || l.page.Prefixes[0] != "c+/" || l.page.Next != "" {
		t.Errorf("page is %+v, %v", l.page, err)
	}
}
