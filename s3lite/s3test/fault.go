package s3test

import (
	"net/http"
	"slices"
	"strings"
)

// Fault is something that goes wrong with requests that fit it.
type Fault struct {
	// Op and Key choose the requests: "GetObject", and what the key begins
	// with; "" for any.
	Op, Key string
	// After lets so many of them pass, Times is for how many it holds after
	// that: 0 for one, below zero for all.
	After, Times int

	// Done carries the request out all the same before it goes wrong.
	Done bool
	// Status and Code are answered; a Status of 200 with a Code is a failure
	// that comes late. Location and Region go with redirects.
	Status           int
	Code             string
	Location, Region string
	// Cut ends the connection, without an answer or after Bytes of its body.
	// Stall goes silent in its place.
	Cut, Stall bool
	Bytes      int64
}

// Fail has a fault happen. Faults count down side by side, and of those that
// are due the first one given happens.
func (s *Server) Fail(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Seen is a request that arrived.
type Seen struct {
	Op, Key string
	Status  int // 0 where no answer was sent
	// Payload is what x-amz-content-sha256 said.
	Payload string
	Header  http.Header
	// Remote tells connections apart.
	Remote string
}

// Seen returns all requests since the last Reset.
func (s *Server) Seen() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Count tells how many requests there were of an operation; "" for all.
func (s *Server) Count(op string) int {
	n := 0
	for _, seen := range s.Seen() {
		if op == "" || op == seen.Op {
			n++
		}
	}
	return n
}

// Stalled tells how many requests have gone silent. The client may not wait
// yet for what does not come: advance its clock until that strikes something.
func (s *Server) Stalled() int { return int(s.stalled.Load()) }

// Reset forgets the requests seen.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
	s.round++
}

// record notes a request and returns the fault that strikes it, nil for none.
func (s *Server) record(r *request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, Seen{
		Op: r.op, Key: r.key, Payload: r.Header.Get("X-Amz-Content-Sha256"), Header: r.Header.Clone(), Remote: r.RemoteAddr,
	})
	r.number = len(s.seen)
	r.round = s.round
	var due *Fault
	for _, f := range s.faults {
		if f.Op != "" && f.Op != r.op || !strings.HasPrefix(r.key, f.Key) || f.Times == 0 {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		if due == nil {
			due = f
		}
	}
	if due != nil && due.Times > 0 {
		due.Times--
	}
	return due
}

// instead does what a fault does in the place of the request; false where the
// request is served first.
func (f *Fault) instead(w *recorder, r *http.Request) bool {
	switch {
	case f.Status != 0:
		(&failure{Status: f.Status, Code: f.Code, Location: f.Location, Region: f.Region}).write(w, r)
	case f.Bytes > 0:
		return false
	case f.Cut || f.Stall:
		w.end()
	default:
		return false
	}
	return true
}

// recorder is an answer that may end before its end.
type recorder struct {
	http.ResponseWriter
	server  *Server
	request *http.Request
	fault   *Fault
	status  int
	left    int64 // -1 before the first byte of the body
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.fault == nil || w.fault.Bytes == 0 {
		return w.ResponseWriter.Write(p)
	}
	if w.left < 0 {
		w.left = w.fault.Bytes
	}
	n := min(w.left, int64(len(p)))
	_, err := w.ResponseWriter.Write(p[:n])
	if w.left -= n; w.left == 0 || err != nil {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		w.end()
	}
	return len(p), nil
}

// end cuts the connection, after a silence where the fault is one.
func (w *recorder) end() {
	if w.fault.Stall {
		w.server.stalled.Add(1)
		select {
		case <-w.server.closed:
		case <-w.request.Context().Done():
		}
	}
	panic(http.ErrAbortHandler)
}

// buffer is an answer that is held back, or lost.
type buffer struct {
	header http.Header
	status int
	body   [][]byte // not copied: what is stored never changes
}

func (b *buffer) Header() http.Header    { return b.header }
func (b *buffer) WriteHeader(status int) { b.status = status }

func (b *buffer) Write(p []byte) (int, error) {
	b.body = append(b.body, p)
	return len(p), nil
}

// send writes it out.
func (b *buffer) send(w http.ResponseWriter) {
	if b.status != 0 {
		w.WriteHeader(b.status)
	}
	for _, p := range b.body {
		_, _ = w.Write(p)
	}
}

// finish notes how a request was answered.
func (s *Server) finish(w *recorder, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.round != s.round {
		return
	}
	if w.status == 0 && (w.fault == nil || !w.fault.Cut && !w.fault.Stall) {
		w.status = http.StatusOK
	}
	s.seen[r.number-1].Status = w.status
}
