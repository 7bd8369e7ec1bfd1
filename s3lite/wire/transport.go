package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// TransportOptions say how connections are made.
type TransportOptions struct {
	// CAFile names a PEM file of authorities that are trusted besides the
	// system's; "" for none.
	CAFile string
	// SkipVerify takes any certificate.
	SkipVerify bool
	// Direct takes no proxy from the environment.
	Direct bool
	// Conns bounds the connections to one host; 0 for no bound.
	Conns int
	// DialTimeout bounds the time to a connection; 0 for ten seconds.
	DialTimeout time.Duration
}

const (
	dialTimeout  = 10 * time.Second
	idleConns    = 16
	idleTimeout  = 20 * time.Second // below what servers are known to wait
	continueWait = time.Second
	headerLimit  = 64 << 10
)

// NewTransport makes connections of HTTP/1.1, one request at a time each, with
// the small buffers that a small machine can afford.
func NewTransport(o TransportOptions) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.SkipVerify}
	if o.CAFile != "" {
		pool, err := authorities(o.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	proxy := http.ProxyFromEnvironment
	if o.Direct {
		proxy = nil
	}
	setDefault(&o.DialTimeout, dialTimeout)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial(&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    dialTimeout,
		DisableCompression:     true,
		MaxConnsPerHost:        o.Conns,
		MaxIdleConnsPerHost:    idleConns,
		MaxIdleConns:           idleConns,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: headerLimit,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
		Protocols:              protocols,
	}, nil
}

func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the file's alone will do
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificate authorities: %s holds no PEM certificate", file)
	}
	return pool, nil
}
