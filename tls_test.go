package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writeCertificate writes a certificate with a serial number, and its key.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"berth"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// serial returns the serial number of the certificate that is served.
func serial(t *testing.T, addr string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1)
	s := start(t, []string{"BERTH_HTTP_TLS_CERT=" + cert, "BERTH_HTTP_TLS_KEY=" + key}, "--address", "127.0.0.1:0")
	if !strings.Contains(s.logged(), "https://127.0.0.1:") {
		t.Errorf("the serving line names no https:\n%s", s.logged())
	}
	addr := s.addresses()[0]
	if got := serial(t, addr); got != 1 {
		t.Errorf("serial %d at the start", got)
	}
	writeCertificate(t, dir, 2)
	s.signal(unix.SIGHUP)
	eventually(t, "the new certificate", func() bool { return serial(t, addr) == 2 })

	// What cannot be used leaves the old one in place.
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.signal(unix.SIGHUP)
	s.await("cannot reload")
	if !strings.Contains(s.logged(), "environment: BERTH_HTTP_TLS_CERT: ") {
		t.Errorf("the refusal names no place:\n%s", s.logged())
	}
	if got := serial(t, addr); got != 2 {
		t.Errorf("serial %d after a refused reload", got)
	}
}
