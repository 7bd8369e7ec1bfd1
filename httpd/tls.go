package httpd

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// certificates serves the certificate that was loaded last.
type certificates struct {
	files  TLSOptions
	loaded atomic.Pointer[tls.Certificate]
}

// load reads the files again; on failure the old certificate stays.
func (c *certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return fmt.Errorf("tls: certificate %q with key %q cannot be used: %w", c.files.CertFile, c.files.KeyFile, err)
	}
	c.loaded.Store(&pair)
	return nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.loaded.Load(), nil
		},
	}
}

// tlsConn is a TLS connection over a conn. A stream that has taken it over
// keeps fasthttp from closing it.
type tlsConn struct {
	*tls.Conn
	below *conn
}

// Close ends the TLS session, then the connection below.
func (c *tlsConn) Close() error {
	if c.below.ignoreClose() {
		return nil
	}
	return c.Conn.Close()
}

// Read reads what is decrypted, and nothing new where the connection below
// holds.
func (c *tlsConn) Read(p []byte) (int, error) {
	if len(c.below.front) > 0 || c.below.hold {
		return c.below.Read(p)
	}
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.below.eof.Store(true)
	}
	return n, err
}

// below returns the conn under what fasthttp serves.
func below(nc net.Conn) *conn {
	switch c := nc.(type) {
	case *conn:
		return c
	case *tlsConn:
		return c.below
	}
	panic(fmt.Sprintf("httpd: connection of type %T", nc))
}

var _ net.Conn = (*tlsConn)(nil)
