package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"berth/oci/registry"
)

// Server answers the distribution API for one registry.
type Server struct {
	reg  *registry.Registry
	opts Options

	fast      *fasthttp.Server
	conns     *tracker
	certs     *certificates // nil: plain
	tls       *tls.Config   // nil: plain
	ids       *ids
	uploads   *gate // bodies underway
	manifests *gate // bytes of manifests in memory
	calls     sync.Pool
	stopping  atomic.Bool
	trouble   trouble
}

var errStopping = errors.New("the server is stopping")

// manifestRoom is how many manifests of the largest size are read at once.
const manifestRoom = 2

// New makes a Server. It opens nothing; a certificate is read by Serve.
func New(reg *registry.Registry, opts Options) *Server {
	opts = opts.withDefaults()
	window := int64(rateWindow * opts.tick / time.Second)
	s := &Server{
		reg:       reg,
		opts:      opts,
		conns:     newTracker(opts.MaxConns, opts.MinRate*max(1, window), opts.tick, opts.idleEnough),
		ids:       newIDs(),
		uploads:   newGate(int64(opts.MaxUploads), maxWait),
		manifests: newGate(manifestRoom*reg.MaxManifestSize(), maxWait),
	}
	s.calls.New = func() any { return new(call) }
	if opts.TLS != nil {
		s.certs = &certificates{files: *opts.TLS}
		s.tls = s.certs.config()
	}
	return s
}

// ReloadCertificates reads the certificate and its key again, for connections
// made from then on. On failure those that are in use stay. Without TLS it does
// nothing.
func (s *Server) ReloadCertificates() error {
	if s.certs == nil {
		return nil
	}
	return s.certs.load()
}

// QuietSince tells since when no client has been connected; ok is false while
// one is.
func (s *Server) QuietSince() (since time.Time, ok bool) { return s.conns.quietSince() }

// Serve answers what comes in on the listeners, which it closes, until ctx
// ends. Then it takes no more connections, ends those that wait for a further
// request, lets others finish theirs for ShutdownTimeout, and ends what is left. It
// returns nil after that, and the error where a certificate cannot be used or a
// listener fails for good. It is called once.
func (s *Server) Serve(ctx context.Context, lns ...net.Listener) error {
	defer closeAll(lns)
	if err := s.ReloadCertificates(); err != nil {
		return err
	}
	// Requests go on after ctx has ended, until they are forced to end.
	base, forceEnd := context.WithCancel(context.WithoutCancel(ctx))
	defer forceEnd()
	s.fast = s.newFast(base)

	var running sync.WaitGroup
	running.Go(func() { s.conns.sweep(base) })
	err := s.accept(ctx, lns)
	s.shutdown(ctx)
	forceEnd()
	running.Wait()
	return err
}

// accept runs until ctx ends or a listener fails.
func (s *Server) accept(ctx context.Context, lns []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { closeAll(lns) })
	defer stop()
	failed := make(chan error, len(lns))
	for _, ln := range lns {
		go func() {
			failed <- s.acceptLoop(ctx, ln)
			cancel()
		}()
	}
	var errs []error
	for range lns {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}

// welcome serves one connection in its own goroutine.
func (s *Server) welcome(_ context.Context, raw net.Conn) {
	tune(raw)
	c := s.conns.add(raw, s.tls != nil)
	if s.tls == nil {
		go s.serveConn(c, c)
		return
	}
	go s.serveConn(&tlsConn{Conn: tls.Server(c, s.tls), below: c}, c)
}

// serveConn answers requests on a connection until it ends, is parked, or a
// stream takes it over.
func (s *Server) serveConn(nc net.Conn, c *conn) {
	defer s.recoverConn(c)
	err := s.fast.ServeConn(nc)
	switch {
	case err != nil:
		c.abandon()
		s.opts.Log.Debug("connection ended", slog.String("remote", c.RemoteAddr().String()), slog.Any("error", err))
	case c.parked.CompareAndSwap(parking, waiting):
		go s.unpark(c) // on a stack that has not grown
	}
}

// shutdown ends all connections: first those without a request, at last, after
// ShutdownTimeout, all.
func (s *Server) shutdown(ctx context.Context) {
	s.stopping.Store(true)
	timeout := time.NewTimer(s.opts.ShutdownTimeout)
	defer timeout.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for s.conns.len() > 0 {
		s.conns.closeIdle()
		select {
		case <-s.conns.left:
		case <-again.C:
		case <-timeout.C:
			s.opts.Log.WarnContext(ctx, "connections were ended with requests underway",
				slog.Int("connections", s.conns.len()), slog.Duration("after", s.opts.ShutdownTimeout))
			s.conns.closeAll()
			return
		}
	}
}
