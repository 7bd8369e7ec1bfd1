package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxied are the addresses that TestProxies asks for, in order.
var proxied = []string{
	"https://bucket.s3.eu-west-1.amazonaws.com/key", "http://minio.site:9000/bucket", "https://s3.inside.example/bucket", "http://10.1.2.3/bucket",
	"http://127.0.0.1:9000/bucket",
}

// TestProxies: proxies come from the environment, and not for what NO_PROXY
// names. A process reads its environment once, so each is one of its own.
func TestProxies(t *testing.T) {
	if os.Getenv("BERTH_TEST_PROXIES") != "" {
		tellProxies(t)
		return
	}
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"none": {nil, []string{"direct", "direct", "direct", "direct", "direct"}},
		"both": {
			[]string{"HTTPS_PROXY=http://proxy.site:3128", "HTTP_PROXY=http://plain.site:8080"},
			[]string{"http://proxy.site:3128", "http://plain.site:8080", "http://proxy.site:3128", "http://plain.site:8080", "direct"},
		},
		"lower case, with exceptions": {
			[]string{"https_proxy=http://proxy.site:3128", "http_proxy=http://plain.site:8080", "no_proxy=.inside.example,10.0.0.0/8"},
			[]string{"http://proxy.site:3128", "http://plain.site:8080", "direct", "direct", "direct"},
		},
		"exception of a port": {
			[]string{"HTTP_PROXY=http://plain.site:8080", "NO_PROXY=minio.site:9000"},
			[]string{"direct", "direct", "direct", "http://plain.site:8080", "direct"},
		},
		"all are exceptions": {
			[]string{"HTTPS_PROXY=http://proxy.site:3128", "HTTP_PROXY=http://plain.site:8080", "NO_PROXY=*"},
			[]string{"direct", "direct", "direct", "direct", "direct"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxies$", "-test.v")
			cmd.Env = append([]string{"BERTH_TEST_PROXIES=1"}, c.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				if proxy, ok := strings.CutPrefix(strings.TrimSpace(line), "proxy "); ok {
					got = append(got, proxy)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("proxies of %q are %q, want %q", proxied, got, c.want)
			}
		})
	}
}

// tellProxies is the other process of TestProxies.
func tellProxies(t *testing.T) {
	transport, err := NewTransport(TransportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range proxied {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := transport.Proxy(req)
		switch {
		case err != nil:
			t.Fatal(err)
		case proxy == nil:
			fmt.Println("proxy direct")
		default:
			fmt.Println("proxy", proxy)
		}
	}
	direct, err := NewTransport(TransportOptions{Direct: true})
	if err != nil || direct.Proxy != nil {
		t.Errorf("a direct transport asks for proxies, %v", err)
	}
}

// roundTripper is a function that makes round trips.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// waits is a clock that notes what is waited for between two attempts, and does
// not wait.
type waits struct {
	mu    sync.Mutex // guards all below
	asked []time.Duration
}

func (w *waits) Now() time.Time { return time.Unix(1e9, 0) }

func (w *waits) AfterFunc(d time.Duration, f func()) Timer {
	if d < noStall {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, d)
		go f()
	}
	return never{}
}

// never is a timer that does nothing.
type never struct{}

func (never) Stop() bool               { return true }
func (never) Reset(time.Duration) bool { return true }

// TestJitter: what is waited is any time up to a limit that doubles, and no
// two clients come back at the same times.
func TestJitter(t *testing.T) {
	const calls, attempts = 50, 8
	most := []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000}
	clock := &waits{}
	seen := map[time.Duration]bool{}
	late := make([]int, len(most))
	for range calls {
		n := 0
		c := New(Options{Clock: clock, Stall: noStall, Attempts: attempts, RoundTripper: roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
		})})
		_, err := c.Do(context.Background(), &Request{Op: "X", Method: http.MethodGet, Place: func() Place { return Place{} }})
		if err == nil || n != attempts {
			t.Fatalf("%d attempts, %v", n, err)
		}
		for i, d := range clock.asked {
			limit := most[i] * time.Millisecond
			if d > limit {
				t.Errorf("wait %d is %v, more than %v", i, d, limit)
			}
			if d > limit/2 {
				late[i]++
			}
			seen[d] = true
		}
		clock.asked = nil
	}
	if len(seen) < calls {
		t.Errorf("%d waits are only %d different ones", calls*len(most), len(seen))
	}
	for i, n := range late {
		if n == 0 || n == calls {
			t.Errorf("of %d waits after attempt %d, %d are in the later half", calls, i+1, n)
		}
	}
}
