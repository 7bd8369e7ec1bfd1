package ops

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// certify writes a fresh certificate for 127.0.0.1 and its key into a folder.
func certify(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "berth"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// HTTPS, and a certificate that is exchanged under the running server.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certify(t, dir, 1)
	s := harness.Start(t, harness.Config{
		File: "[http.tls]\ncert = \"" + cert + "\"\nkey = \"" + key + "\"\n", NoWait: true,
	})
	insecure := &tls.Config{InsecureSkipVerify: true} // it is self-signed, and looked at below
	c := wire.NewOver(t, "https://"+s.Addr, &http.Transport{TLSClientConfig: insecure, DisableCompression: true})
	harness.Eventually(t, "berth serves", func() error {
		_, err := c.Try(wire.Request{Method: "GET", Path: "/v2/"})
		return err
	})
	image := fixture.Image(fixture.Options{}, fixture.Layer("tls", 5_000_000))
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image)
	harness.Run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", s.Docker("app:v1"), "oci:"+t.TempDir()+":v1")

	certify(t, dir, 2)
	s.Signal(hangup)
	harness.Eventually(t, "the new certificate is shown", func() error {
		conn, err := tls.Dial("tcp", s.Addr, insecure)
		if err != nil {
			return err
		}
		defer conn.Close()
		if conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() != 2 {
			return errors.New("it is still the old one")
		}
		return nil
	})
	c.PullWhole("app", "v1", image)
	s.Stop()
}
