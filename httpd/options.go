package httpd

import (
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a Server. The zero value is usable.
type Options struct {
	Log    *slog.Logger // server events; nil: discard
	Access *slog.Logger // one line per answer; nil: none
	Audit  *slog.Logger // one line per answered write; nil: none

	ReadOnly bool   // writes get a 405 that says so
	Realm    string // of authentication; kept for it

	// MaxConns bounds open connections; further ones wait in the kernel's
	// queue. 0: derived from RLIMIT_NOFILE.
	MaxConns int
	// MaxUploads bounds the request bodies that are read at once. Others wait
	// a little and then get a 429. 0: 64.
	MaxUploads int

	HeaderTimeout   time.Duration // for the head of a request, from its first byte; 0: 15 s
	IdleTimeout     time.Duration // between two requests; 0: 90 s
	ShutdownTimeout time.Duration // for streams to end when Serve's context does; 0: 30 s

	// MinRate, in bytes/s, is what a transfer must keep while berth waits for
	// the client, measured over 30 s. 0: 128, which lets a slow link live and
	// ends what hangs.
	MinRate int64

	// ChunkMinLength is announced as OCI-Chunk-Min-Length, in bytes. 0: none.
	ChunkMinLength int64

	TLS        *TLSOptions // nil: plain
	Extensions []Extension // what /v2/_oci/ext/discover lists

	// Started and Ready decide on /startupz and /readyz; nil: ok. The error's
	// text is the answer.
	Started, Ready func() error

	// tick is how often connections are looked at, idleEnough how long one has
	// to be idle before it makes room for another: the request of one that was
	// just opened may be on its way. Tests change them.
	tick, idleEnough time.Duration
}

// TLSOptions names a certificate and its key, PEM files. Serve reads them, and
// ReloadCertificates again.
type TLSOptions struct {
	CertFile string
	KeyFile  string
}

const (
	defaultMinRate = 128
	// rateWindow is how many ticks of waiting for a client its rate is
	// measured over.
	rateWindow = 30
	// maxWait is how long a request waits for its turn to send a body.
	maxWait = 5 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.MaxConns, maxConns())
	setDefault(&o.MaxUploads, 64)
	setDefault(&o.HeaderTimeout, 15*time.Second)
	setDefault(&o.IdleTimeout, 90*time.Second)
	setDefault(&o.ShutdownTimeout, 30*time.Second)
	setDefault(&o.MinRate, defaultMinRate)
	setDefault(&o.tick, time.Second)
	setDefault(&o.idleEnough, 200*time.Millisecond)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// maxConns is how many connections the descriptor limit has room for: each may
// hold a file besides its socket, and the store needs some of its own.
func maxConns() int {
	const own, least, most = 64, 16, 16384
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 2*most+own {
		return most
	}
	return max(least, (int(limit.Cur)-own)/2)
}
