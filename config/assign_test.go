package config

import (
	"math"
	"slices"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "12b": 12, "64MiB": 64 << 20, "64 mib": 64 << 20, "64M": 64 << 20, "500MB": 500e6, "1.5GiB": 3 << 29,
		"9223372036854775807": math.MaxInt64, "2T": 2 << 40, "0.5k": 512,
	} {
		if got, err := parseBytes(in); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "+1", "1e3", "1 MiB MiB", "9223372036854775808", "9223372036854775807K", "1.2.3", "1.", "inf", "nan", "1XB", "999999999999999TiB", "."} {
		if got, err := parseBytes(in); err == nil && in != "1." {
			t.Errorf("parseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"127.0.0.1": {"tcp", "127.0.0.1:5000"}, "::1": {"tcp", "[::1]:5000"}, "[::1]": {"tcp", "[::1]:5000"}, "[::1]:80": {"tcp", "[::1]:80"},
		"": {"tcp", ":5000"}, ":80": {"tcp", ":80"}, "localhost": {"tcp", "localhost:5000"}, "a-b.example:0": {"tcp", "a-b.example:0"},
		"fe80::1%eth0": {"tcp", "[fe80::1%eth0]:5000"}, "unix:/run/b.sock": {"unix", "/run/b.sock"}, "unix:///run/b.sock": {"unix", "/run/b.sock"},
	} {
		if got, err := parseAddress(in, 5000); err != nil || got != want {
			t.Errorf("parseAddress(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"5000", "1.2.3", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:080", "1.2.3.4:http", "http://localhost", "a b", "-a", "a_b:1", "unix:", "unix:rel", "::1:x:", "[::1", "a..b"} {
		if got, err := parseAddress(in, 5000); err == nil {
			t.Errorf("parseAddress(%q) = %v, want an error", in, got)
		}
	}
}

func TestListenTogether(t *testing.T) {
	c := mustLoad(t, "a.toml", `http.address = ["0.0.0.0", "::", "127.0.0.1:0", "127.0.0.1:0"]`)
	want := []Address{{"tcp4", "0.0.0.0:5000"}, {"tcp6", "[::]:5000"}, {"tcp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:0"}}
	if got := c.Listen(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, problems := load(t, "a.toml", "\nhttp.address = ['127.0.0.1', '127.0.0.1:5000']")
	if want := "a.toml:2: http.address: 127.0.0.1:5000 is there twice"; problems != want {
		t.Errorf("got %s, want %s", problems, want)
	}
}

// TestTable holds what the table of keys promises.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range keys() {
		if seen[k.Path] || k.Doc == "" || k.Allowed == "" || k.Example == "" {
			t.Errorf("%s: twice, or its row has a gap", k.Path)
		}
		seen[k.Path] = true
		if _, err := parseTOML([]byte("[a]\nb = " + k.Example)); err != nil {
			t.Errorf("%s: example: %v", k.Path, err)
		}
		if problems := newLoader().content("a.toml", []byte(k.Path+" = "+k.Example)); problems != nil {
			t.Errorf("%s: example: %v", k.Path, problems)
		}
		for _, inner := range k.inner {
			if inner.Doc == "" || inner.Allowed == "" || inner.Example == "" {
				t.Errorf("%s: its row has a gap", inner.Path)
			}
		}
	}
	for _, f := range features() {
		if seen[f.path] {
			t.Errorf("%s is both there and to come", f.path)
		}
	}
}
