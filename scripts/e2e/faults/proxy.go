package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Kind is what happens to a request.
type Kind int

// The kinds of faults.
const (
	None     Kind = iota
	Late          // it is forwarded after up to 50 ms
	Error         // 500, and it is not forwarded
	SlowDown      // 503 SlowDown, and it is not forwarded
	Refused       // the connection ends, and it is not forwarded
	Lost          // it is carried out, and the connection ends without an answer
	Half          // the answer ends within its body
	Cut           // its body is forwarded by half, and the connections end
	Behind        // the connection ends, and it is carried out up to a second later
	kinds
)

// Proxy is a running one. It ends with its test.
type Proxy struct {
	URL string

	target string // host:port
	client *http.Transport
	watch  func(*http.Request) func(status int)

	mu   sync.Mutex // guards all below
	rand *rand.Rand
	rate float64 // of requests, from 0 to 1, that a fault strikes
	may  []Kind  // the faults that there are now
	seen map[string]int
	hit  map[Kind]int
	// listed are the prefixes that were listed, up to maxListed.
	listed []string

	behind sync.WaitGroup // requests that are still to be carried out
}

// Start starts a proxy of the server at an http URL on a free port of
// 127.0.0.1. Its faults depend on the seed and the order of requests.
func Start(t testing.TB, target string, seed uint64) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		URL: "http://" + l.Addr().String(), target: u.Host, client: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		rand: rand.New(rand.NewPCG(seed, 0)), seen: map[string]int{}, hit: map[Kind]int{},
	}
	server := &http.Server{Handler: p}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		p.Calm()
		p.client.CloseIdleConnections()
	})
	return p
}

// Watch has f called with each request before it is forwarded, and what f returns,
// unless it is nil, with the status of the answer. It is called before there is
// any request.
func (p *Proxy) Watch(f func(*http.Request) func(status int)) { p.watch = f }

// SetRate sets the share of requests, from 0 to 1, that a fault strikes, and
// which faults there are from now on: all where none is given.
func (p *Proxy) SetRate(rate float64, may ...Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate, p.may = rate, may
	for k := None + 1; len(may) == 0 && k < kinds; k++ {
		p.may = append(p.may, k)
	}
}

// Calm ends all faults, and returns when nothing is on its way behind its time
// any more.
func (p *Proxy) Calm() {
	p.SetRate(0)
	p.behind.Wait()
}

// Hits tells how often each fault struck.
func (p *Proxy) Hits() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.hit)
}

// Seen tells how many requests there were of each kind: a method, and behind it
// "list" where a bucket is listed, "within" where the request has an end.
func (p *Proxy) Seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

const maxListed = 10_000

// Listed returns the prefixes that a bucket was listed by, in order.
func (p *Proxy) Listed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.listed)
}

// choose notes a request, and decides what happens to it.
func (p *Proxy) choose(r *http.Request) (Kind, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := r.Method
	if q := r.URL.Query(); q.Has("list-type") {
		what += " list"
		if len(p.listed) < maxListed {
			p.listed = append(p.listed, q.Get("prefix"))
		}
	} else if q.Has("X-Amz-Expires") {
		what += " within"
	}
	p.seen[what]++
	if p.rand.Float64() >= p.rate {
		return None, 0
	}
	kind := p.may[p.rand.IntN(len(p.may))]
	p.hit[kind]++
	longest := 50 * time.Millisecond
	if kind == Behind {
		longest = time.Second
		p.behind.Add(1)
	}
	return kind, time.Duration(p.rand.Int64N(int64(longest)))
}

// ServeHTTP forwards a request, or has it go wrong.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, pause := p.choose(r)
	switch kind {
	case Error:
		refuse(w, http.StatusInternalServerError, "InternalError")
		return
	case SlowDown:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case Refused:
		panic(http.ErrAbortHandler)
	case Cut:
		p.cut(r)
		panic(http.ErrAbortHandler)
	case Behind:
		p.carryOutLater(r, pause)
		panic(http.ErrAbortHandler)
	case Late:
		time.Sleep(pause)
	}
	answer, err := p.forward(r, kind == Lost)
	if err != nil || kind == Lost {
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	if kind == Half && answer.ContentLength > 1 {
		_, _ = io.CopyN(w, answer.Body, answer.ContentLength/2)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// forward sends a request on as it is: its signature covers the Host. One that
// has to be carried out is, whatever becomes of who sent it.
func (p *Proxy) forward(r *http.Request, always bool) (*http.Response, error) {
	ctx := r.Context()
	if always {
		ctx = context.WithoutCancel(ctx)
	}
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.target, ""
	out.Host = r.Host
	if r.ContentLength == 0 {
		out.Body = nil
	}
	var answered func(status int)
	if p.watch != nil {
		answered = p.watch(r)
	}
	answer, err := p.client.RoundTrip(out)
	if err == nil && answered != nil {
		answered(answer.StatusCode)
	}
	return answer, err
}

// cut forwards half of a request's body, and nothing where it has none.
func (p *Proxy) cut(r *http.Request) {
	if r.ContentLength < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer cancel()
	out := r.WithContext(ctx)
	out.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), stuck(ctx.Done())))
	if answer, err := p.forward(out, false); err == nil {
		_ = answer.Body.Close()
	}
}

// stuck is the rest of a body that does not come. It is closed to end it.
type stuck <-chan struct{}

func (s stuck) Read([]byte) (int, error) {
	<-s
	return 0, io.ErrUnexpectedEOF
}

// carryOutLater takes all of a request, and forwards it after a pause. What
// becomes of it nobody is told.
func (p *Proxy) carryOutLater(r *http.Request, pause time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.behind.Done()
		return
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.Body = io.NopCloser(bytes.NewReader(body))
	go func() {
		defer p.behind.Done()
		time.Sleep(pause)
		if answer, err := p.forward(out, true); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}()
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>the test refuses it</Message></Error>", code)
}
