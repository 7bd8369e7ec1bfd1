package sigv4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// chunkedExample signs the chunked upload of the Amazon S3 API reference.
func chunkedExample(t *testing.T) Seed {
	r := request(t, "PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt", "Content-Encoding:aws-chunked",
		"Content-Length:66824", "x-amz-decoded-content-length:66560", "x-amz-storage-class:REDUCED_REDUNDANCY")
	seed := Sign(r, s3Example, s3Scope, Chunked, s3Now)
	if got, want := signatureOf(r), "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"; got != want {
		t.Fatalf("seed signature is %s, want %s", got, want)
	}
	return seed
}

func TestChunkedExample(t *testing.T) {
	body := bytes.Repeat([]byte("a"), 66560)
	want := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + string(body[:65536]) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + string(body[65536:]) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	for name, source := range map[string]func(io.Reader) io.Reader{
		"whole":   func(r io.Reader) io.Reader { return r },
		"halves":  iotest.HalfReader,
		"one eof": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := io.ReadAll(NewChunks(chunkedExample(t), source(bytes.NewReader(body)), int64(len(body))))
			if err != nil || string(got) != want {
				t.Errorf("frames differ from the example: %v; %d bytes, want %d", err, len(got), len(want))
			}
			if n := ChunkedLength(int64(len(body))); n != 66824 {
				t.Errorf("length is %d, want 66824", n)
			}
		})
	}
}

func TestChunkedLengths(t *testing.T) {
	for _, size := range []int64{0, 1, 15, 16, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3*ChunkSize + 4096} {
		n, err := io.Copy(io.Discard, NewChunks(chunkedExample(t), strings.NewReader(strings.Repeat("x", int(size))), size))
		if err != nil || n != ChunkedLength(size) {
			t.Errorf("body of %d: %d bytes, %v; announced %d", size, n, err, ChunkedLength(size))
		}
	}
}

func TestChunkedBodyTooShort(t *testing.T) {
	for _, have := range []int{0, 10, ChunkSize} {
		_, err := io.Copy(io.Discard, NewChunks(chunkedExample(t), strings.NewReader(strings.Repeat("x", have)), ChunkSize+10))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("body of %d of %d bytes: %v", have, ChunkSize+10, err)
		}
	}
}

// TestSecretsDoNotShow prints, with every verb, all that holds a secret.
func TestSecretsDoNotShow(t *testing.T) {
	secret := "wJalrXUtnFEMI"
	c := Credentials{AccessKeyID: "AKID", SecretKey: NewSecret(secret), SessionToken: NewSecret(secret + "token"), Source: "test"}
	key := Scope{Region: "r", Service: "s3"}.Key(c, s3Now)
	hidden := struct {
		c Credentials
		p *Credentials
		k Key
	}{c, &c, key}
	for _, value := range []any{c, &c, hidden, &hidden, c.SecretKey, c.LogValue(), []Credentials{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, fmt.Sprintf("%x", key.key[:4])) {
				t.Errorf("%s of %T shows a secret: %s", verb, value, text)
			}
		}
	}
	if text, err := c.SecretKey.MarshalText(); err != nil || string(text) != redacted {
		t.Errorf("encoded secret is %q, %v", text, err)
	}
	if c.SecretKey.Reveal() != secret || !(Secret{}).IsEmpty() {
		t.Error("a secret is not what it was made of")
	}
}
