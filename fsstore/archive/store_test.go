package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/fsstore/archive/archivetest"
	"berth/oci"
)

// check reads all of a store and compares it with the files of its layout.
func check(t *testing.T, s *Store, files map[string]string) {
	t.Helper()
	ctx := context.Background()
	index, v, err := s.LoadIndex(ctx, s.Repo(), "")
	if err != nil || string(index) != files["index.json"] {
		t.Fatalf("LoadIndex = %q, %v", index, err)
	}
	if index, again, err := s.LoadIndex(ctx, s.Repo(), v); index != nil || again != v || err != nil {
		t.Fatalf("LoadIndex of the present version = %q, %q, %v", index, again, err)
	}
	want := map[string]string{}
	for name, content := range files {
		if d, ok := blobDigest(name); ok {
			want[string(d)] = content
		}
	}
	got := map[string]string{}
	err = s.WalkBlobs(ctx, s.Repo(), func(d oci.Digest, info oci.BlobInfo) error {
		if stat, err := s.StatBlob(ctx, s.Repo(), d); err != nil || stat != info {
			t.Errorf("StatBlob = %v, %v, walk says %v", stat, err, info)
		}
		got[string(d)] = readBlob(t, s, d, 0)
		if tail := readBlob(t, s, d, 1); tail != got[string(d)][1:] {
			t.Errorf("from 1: %q", tail)
		}
		if beyond := readBlob(t, s, d, 1<<40); beyond != "" {
			t.Errorf("beyond the end: %q", beyond)
		}
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("blobs differ: %v\n got %q\nwant %q", err, got, want)
	}
	var repos []oci.Repo
	walk := func(r oci.Repo) error { repos = append(repos, r); return nil }
	if err := errors.Join(s.WalkRepos(ctx, "", walk), s.WalkRepos(ctx, s.Repo(), walk)); err != nil || !slices.Equal(repos, []oci.Repo{s.Repo()}) {
		t.Errorf("WalkRepos = %q, %v", repos, err)
	}
}

func readBlob(t *testing.T, s *Store, d oci.Digest, offset int64) string {
	t.Helper()
	c, err := s.OpenBlob(context.Background(), s.Repo(), d, offset)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestTarForms(t *testing.T) {
	files := layoutFiles(t)
	dirs := []archivetest.Member{
		{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "./blobs/", Typeflag: tar.TypeDir}},
		{Header: tar.Header{Name: "./link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
	}
	small, large := blobName(oci.SHA256.FromString("{}")), blobName(oci.SHA512.FromString(layer))
	linked := maps.Clone(files)
	delete(linked, large)
	stale := maps.Clone(files)
	stale["index.json"] = `{"stale": true}`
	for name, members := range map[string][]archivetest.Member{
		"PAX":            archivetest.Members(files, "", tar.FormatPAX),
		"GNU":            archivetest.Members(files, "", tar.FormatGNU),
		"dot names":      append(dirs, archivetest.Members(files, "./", tar.FormatPAX)...),
		"absolute names": archivetest.Members(files, "/", tar.FormatGNU),
		"extra members":  append(archivetest.Members(map[string]string{"manifest.json": "[]", "repositories": "{}", "blobs/sha256/short": "x"}, "", 0), archivetest.Members(files, "", 0)...),
		"last one wins":  append(archivetest.Members(stale, "", 0), archivetest.Members(files, "./", 0)...),
		"hard link": append(append([]archivetest.Member{{Header: tar.Header{Name: small}, Content: layer}, {Header: tar.Header{Name: large, Typeflag: tar.TypeLink, Linkname: "./" + small}}},
			archivetest.Members(linked, "", 0)...), dirs...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "my app.tar")
			archivetest.WriteFile(t, path, archivetest.Tar(t, members))
			s, err := Open(Options{Path: path})
			if err != nil || s.Repo() != "my-app" {
				t.Fatal(s, err)
			}
			check(t, s, files)
			if n := archivetest.OpenBelow(t, dir); n != 0 {
				t.Errorf("%d descriptors left open", n)
			}
		})
	}
}

func TestTarRefused(t *testing.T) {
	files := layoutFiles(t)
	good := archivetest.Tar(t, archivetest.Members(files, "", 0))
	without := func(name string) []byte {
		rest := maps.Clone(files)
		delete(rest, name)
		return archivetest.Tar(t, archivetest.Members(rest, "", 0))
	}
	with := func(name, content string) []byte {
		other := maps.Clone(files)
		other[name] = content
		return archivetest.Tar(t, archivetest.Members(other, "", 0))
	}
	sparse := slices.Concat(rawHeader("oci-layout", tar.TypeGNUSparse, "00000000000"), make([]byte, 1024))
	for name, c := range map[string]struct {
		content []byte
		reason  string
	}{
		"gzip":          {[]byte("\x1f\x8b\x08 and more"), "gunzip"},
		"zstd":          {[]byte("\x28\xb5\x2f\xfd and more"), "unzstd"},
		"empty":         {nil, "empty"},
		"no tar":        {bytes.Repeat([]byte("noise"), 500), "no tar"},
		"no header":     {without("oci-layout"), "no oci-layout"},
		"no index":      {without("index.json"), "no index.json"},
		"new version":   {with("oci-layout", `{"imageLayoutVersion":"2.0.0"}`), "2.0.0"},
		"no version":    {with("oci-layout", `{}`), "imageLayoutVersion"},
		"broken header": {with("oci-layout", `{`), "not JSON"},
		"Docker":        {archivetest.Tar(t, archivetest.Members(map[string]string{"manifest.json": "[]"}, "", 0)), "Docker archive"},
		"cut in data":   {good[:len(good)-1024-600], "cut short"},
		"cut in header": {good[:1100], "cut short"},
		"sparse":        {sparse, "sparse"},
		"traversal":     {archivetest.Tar(t, archivetest.Members(files, "x/../", 0)), "no oci-layout"},
		"negative size": {slices.Concat(rawHeader("index.json", tar.TypeReg, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 1024)), "damaged"},
		"huge size":     {slices.Concat(rawHeader("index.json", tar.TypeReg, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 1024)), "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.tar")
			archivetest.WriteFile(t, path, c.content)
			var log archivetest.Log
			s, err := Open(Options{Path: path, Log: log.Logger()})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				checkNothing(t, s)
			}
			if text := log.String(); !strings.Contains(text, c.reason) || strings.Count(text, "\n") != 1 {
				t.Errorf("log: %s", text)
			}
			// Once it is whole it is served.
			archivetest.WriteFile(t, path, good)
			touch(t, path)
			check(t, s, files)
		})
	}
}

// checkNothing fails the test unless the store serves nothing.
func checkNothing(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	if _, _, err := s.LoadIndex(ctx, s.Repo(), ""); !errors.Is(err, oci.ErrNameUnknown) {
		t.Errorf("LoadIndex: %v", err)
	}
	if _, err := s.StatBlob(ctx, s.Repo(), oci.SHA256.FromString("{}")); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("StatBlob: %v", err)
	}
	if err := s.WalkRepos(ctx, "", func(r oci.Repo) error { return errors.New(string(r)) }); err != nil {
		t.Errorf("WalkRepos: %v", err)
	}
}

// rawHeader makes a tar header that no writer makes.
func rawHeader(name string, flag byte, size string) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x00")
	copy(h[124:136], size)
	copy(h[136:], "00000000000\x00")
	copy(h[148:], "        ")
	h[156] = flag
	copy(h[257:], "ustar  \x00")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	for i := range 6 {
		h[148+5-i] = byte('0' + sum>>(3*i)&7)
	}
	h[154] = 0
	return h
}

func TestTarCutWhileOpen(t *testing.T) {
	files := layoutFiles(t)
	path := filepath.Join(t.TempDir(), "a.tar")
	archivetest.WriteFile(t, path, archivetest.Tar(t, archivetest.Members(files, "", 0)))
	s, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.OpenBlob(context.Background(), s.Repo(), oci.SHA512.FromString(layer), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, base := c.(interface{ File() (*os.File, int64) }).File()
	start := make([]byte, 5)
	if _, err := f.ReadAt(start, base); err != nil || string(start) != "layer" {
		t.Errorf("File: %q, %v", start, err)
	}
	if err := os.Truncate(path, base+100); err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(c); !errors.Is(err, io.ErrUnexpectedEOF) || len(content) != 100 {
		t.Errorf("read %d bytes, %v", len(content), err)
	}
}

func TestTarMissing(t *testing.T) {
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "a.tar")})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.LoadIndex(context.Background(), "a", ""); !errors.Is(err, oci.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := s.OpenBlob(context.Background(), "a", oci.SHA256.FromString(""), 0); !errors.Is(err, oci.ErrUnavailable) {
		t.Error(err)
	}
}

func TestDir(t *testing.T) {
	files := layoutFiles(t)
	dir := filepath.Join(t.TempDir(), "App_1.0")
	archivetest.WriteFiles(t, dir, files)
	secret := filepath.Join(filepath.Dir(dir), "secret")
	archivetest.WriteFile(t, secret, []byte("secret"))
	var log archivetest.Log
	s, err := OpenDir(Options{Path: dir, Log: log.Logger()})
	if err != nil || s.Repo() != "app_1.0" {
		t.Fatal(s, err)
	}
	check(t, s, files)
	if n := archivetest.OpenBelow(t, dir); n != 0 {
		t.Errorf("%d descriptors left open", n)
	}

	outside := oci.SHA256.FromString("outside")
	if err := os.Symlink(secret, filepath.Join(dir, blobName(outside))); err != nil {
		t.Fatal(err)
	}
	if c, err := s.OpenBlob(context.Background(), s.Repo(), outside, 0); err == nil {
		c.Close()
		t.Error("a link out of the layout was followed")
	}
	if err := os.Remove(filepath.Join(dir, blobName(outside))); err != nil {
		t.Fatal(err)
	}

	archivetest.WriteFile(t, filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion": "9"}`))
	if _, _, err := s.LoadIndex(context.Background(), s.Repo(), ""); !errors.Is(err, oci.ErrNameUnknown) || !strings.Contains(log.String(), `\"9\"`) {
		t.Errorf("LoadIndex: %v, log %s", err, log.String())
	}
}

func TestReadOnly(t *testing.T) {
	s, err := Open(Options{Path: "a.tar", Repo: "x/y"})
	if err != nil || s.Repo() != "x/y" {
		t.Fatal(s, err)
	}
	ctx := context.Background()
	if err := s.PutBlob(ctx, "x/y", "", nil); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
	if _, err := s.SwapIndex(ctx, "x/y", "", nil); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
	if _, err := s.CreateUpload(ctx, "x/y", oci.SHA256); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]oci.Repo{
		"app.tar": "app", "/x/App.TAR": "app", "My App (1).tar": "my-app-1", "a__b.tar": "a__b",
		"a___b": "a-b", "a.-b": "a-b", "-a-": "a", "name:v1.2.tar": "name-v1.2", "Größe.tar": "gr-e", "a--b": "a--b",
	} {
		if got, err := Name(in); got != want || err != nil {
			t.Errorf("Name(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{".tar", "---", "日本", strings.Repeat("a", 300)} {
		if got, err := Name(in); !errors.Is(err, oci.ErrNameInvalid) {
			t.Errorf("Name(%q) = %q, %v", in, got, err)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("My App.tar")
	f.Add("a\xff__-b")
	f.Fuzz(func(t *testing.T, in string) {
		if name, err := Name(in); err == nil {
			if _, err := oci.ParseRepo(string(name)); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	files := layoutFiles(f)
	f.Add(archivetest.Tar(f, archivetest.Members(files, "./", tar.FormatPAX)))
	f.Add(archivetest.Tar(f, archivetest.Members(files, "", tar.FormatGNU)))
	f.Add(slices.Concat(rawHeader("blobs/", tar.TypeGNUSparse, "77777777777"), make([]byte, 2048)))
	f.Add(slices.Concat(rawHeader("index.json", tar.TypeReg, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 1024)))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := scan(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			if !isRefusal(err) {
				t.Errorf("not a refusal: %v", err)
			}
			return
		}
		for _, e := range append([]blob{{extent: m.header}, {extent: m.index}}, m.blobs...) {
			if e.base < 0 || e.size < 0 || e.base > int64(len(content))-e.size {
				t.Errorf("%v lies beyond %d bytes", e, len(content))
			}
		}
	})
}
