package dynamo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"berth/oci"
)

var one, two = oci.SHA256.FromString("1"), oci.SHA256.FromString("2")

// TestNotes: what was noted is told at once, and is in the table soon after, in
// an item that goes with the last repository.
func TestNotes(t *testing.T) {
	s, url := serve(t)
	x := open(t, url, nil)
	ctx := t.Context()
	if got := holders(t, x, one, 0); got != "[]" {
		t.Errorf("before all: %s", got)
	}
	if err := errors.Join(x.Add(ctx, one, "b", "a"), x.Add(ctx, two, "b"), x.Add(ctx, one, "c/d")); err != nil {
		t.Fatal(err)
	}
	if got := holders(t, x, one, 0); got != "[b a c/d]" {
		t.Errorf("noted, and not written: %s", got)
	}
	run(t, x)
	key := "s3://bucket/root|" + string(one)
	eventually(t, "all is written", func() bool { return len(s.items("Blobs")[key]) == 3 && len(s.items("Blobs")) == 2 })
	// The notes are let go after the table has them: the table's order tells.
	eventually(t, "what is written is no longer noted", func() bool { return holders(t, x, one, 0) == "[a b c/d]" })
	if got := holders(t, x, one, 2); got != "[b c/d]" {
		t.Errorf("two of them: %s", got)
	}
	other := open(t, url, nil)
	if got := holders(t, other, one, 0); got != "[a b c/d]" {
		t.Errorf("another process: %s", got)
	}
	elsewhere := open(t, url, func(o *Options) { o.Scope = "s3://bucket/other" })
	if got := holders(t, elsewhere, one, 0); got != "[]" {
		t.Errorf("another store: %s", got)
	}
	if err := errors.Join(x.Remove(ctx, one, "a"), x.Remove(ctx, one, "never"), x.Remove(ctx, two, "b")); err != nil {
		t.Fatal(err)
	}
	if got := holders(t, x, one, 0); got != "[b c/d]" {
		t.Errorf("one is removed: %s", got)
	}
	eventually(t, "the removals are written", func() bool { return len(s.items("Blobs")[key]) == 2 && len(s.items("Blobs")) == 1 })
	if _, err := x.Count(ctx); !errors.Is(err, oci.ErrNoHint) {
		t.Errorf("count: %v", err)
	}
	s.set(func() {
		for op := range s.calls {
			if !strings.Contains("CreateTable GetItem UpdateItem DeleteItem", op) {
				t.Errorf("call of %s", op)
			}
		}
	})
	if n := s.count("CreateTable"); n != 1 {
		t.Errorf("the table was made %d times", n)
	}
}

// TestTableIsBeingMade: notes wait until it is ready.
func TestTableIsBeingMade(t *testing.T) {
	s, url := serve(t)
	s.making = true
	var log bytes.Buffer
	x := open(t, url, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	if err := x.Add(t.Context(), one, "a"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	eventually(t, "it was tried again", func() bool { return s.count("UpdateItem") > 3 })
	s.set(func() { s.tables["Blobs"] = map[string][]string{} })
	eventually(t, "it is written", func() bool { return len(s.items("Blobs")) == 1 })
	stop()
	if err := <-done; err != nil || log.Len() > 0 {
		t.Errorf("ended with %v; log:\n%s", err, log.String())
	}
}

// TestOutOfReach: nobody waits for a table that cannot be reached, one message
// says so, and no note is lost by it.
func TestOutOfReach(t *testing.T) {
	s, url := serve(t)
	var log bytes.Buffer
	clock := &hasty{}
	x := open(t, url, func(o *Options) { o.Clock, o.Log = clock, slog.New(slog.NewTextHandler(&log, nil)) })
	s.set(func() { s.fail = func(string) (int, string) { return 500, "InternalServerError" } })
	for range 3 {
		if _, err := x.Holders(t.Context(), one, 0); !errors.Is(err, oci.ErrNoHint) {
			t.Fatalf("holders: %v", err)
		}
	}
	if n := s.count("GetItem"); n != attempts {
		t.Errorf("%d calls, want %d", n, attempts)
	}
	if err := x.Add(t.Context(), one, "a"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	eventually(t, "it was tried again", func() bool { return s.count("UpdateItem") > 3*attempts })
	s.set(func() { s.fail = nil })
	eventually(t, "it is written", func() bool { return len(s.items("Blobs")) == 1 })
	eventually(t, "it can be asked", func() bool {
		repos, err := x.Holders(t.Context(), one, 0)
		return err == nil && len(repos) == 1
	})
	stop()
	<-done
	if said := log.String(); strings.Count(said, "not available") != 1 || strings.Count(said, "available again") != 1 || strings.Contains(said, "SECRET") {
		t.Errorf("log:\n%s", said)
	}
}

// TestBounds: neither notes nor items grow without end.
func TestBounds(t *testing.T) {
	s, url := serve(t)
	x := open(t, url, nil)
	var err error
	for i := 0; err == nil && i <= maxNotes; i++ {
		err = x.Add(t.Context(), oci.SHA256.FromString(fmt.Sprint(i)), "a")
		if err == nil {
			err = x.Add(t.Context(), oci.SHA256.FromString(fmt.Sprint(i)), "a") // the same again takes no room
		}
	}
	if !errors.Is(err, oci.ErrNoHint) || x.notes.count != maxNotes {
		t.Errorf("%d notes, then %v", x.notes.count, err)
	}
	x = open(t, url, nil)
	for i := range maxHolders + 10 {
		if err := x.table.add(t.Context(), x.key(two), []string{fmt.Sprintf("r%d", i)}); err != nil && !errors.Is(err, errNoTable) {
			t.Fatal(err)
		}
		if i == 0 {
			if err := errors.Join(x.table.create(t.Context()), x.table.create(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(s.items("Blobs")[x.key(two)]); n != maxHolders {
		t.Errorf("an item of %d", n)
	}
}

func TestEnds(t *testing.T) {
	_, url := serve(t)
	x := open(t, url, nil)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := x.Holders(ctx, one, 0)
	for _, err := range []error{err, x.Add(ctx, one, "a"), x.Remove(ctx, one, "a")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{Table: "t"}, {Region: "r"}, {Region: "r", Table: "t", Endpoint: "localhost:8000"},
		{Region: "r", Table: "t", Endpoint: "http://user:SECRET@localhost"}, {Region: "r", Table: "t", Endpoint: "http://localhost/path"},
		{Region: "r", Table: "t", Endpoint: "http://local\x00host"},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for region, want := range map[string]string{
		"us-east-2": "https://dynamodb.us-east-2.amazonaws.com/", "cn-north-1": "https://dynamodb.cn-north-1.amazonaws.com.cn/",
	} {
		x, err := New(Options{Region: region, Table: "t", Scope: strings.Repeat("s", 5000)})
		if err != nil || x.table.url.String() != want || len(x.scope) > maxScope {
			t.Errorf("%s is at %s, %v", region, x.table.url.String(), err)
		}
	}
}

// FuzzAnswers: whatever the service answers, names of repositories come of it
// or nothing.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"Item":{"Repositories":{"SS":["a","b/c","b/c","UPPER","../x",""]}}}`))
	f.Add([]byte(`{"__type":"x#ResourceNotFoundException","Message":"m"}`))
	f.Add([]byte(`{"Item":null`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var got struct{ Item item }
		_ = json.Unmarshal(answer, &got)
		repos := parse(got.Item.Repositories.SS)
		for i, repo := range repos {
			if _, err := oci.ParseRepo(string(repo)); err != nil || i > 0 && repos[i-1] >= repo {
				t.Errorf("%q, %v", repos, err)
			}
		}
		_ = faultOf(nil, answer)
	})
}
