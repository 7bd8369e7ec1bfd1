package httpd

import (
	"strings"
	"sync"
	"testing"
)

// Small blobs are sent by fasthttp after the handler is done: another request
// must not take the content away meanwhile.
func TestConcurrentSmallBlobs(t *testing.T) {
	s := start(t, Options{})
	s.store.files = true
	content := strings.Repeat("berth", 10_000)
	path := "/v2/a/blobs/" + string(s.blob("a", content))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 100 {
				got, err := s.try("GET", path, nil)
				if err != nil || got.status != 200 || got.body != content {
					t.Errorf("GET gave %d with %d bytes, %v", got.status, len(got.body), err)
					return
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
}

// A client must know that a connection ends on which it was refused in the
// middle of a chunked body, or its next request goes into nothing.
func TestRefusedChunkedBodyEndsConnection(t *testing.T) {
	s := start(t, Options{ReadOnly: true})
	_, r := s.send("POST /v2/a/blobs/uploads/?digest=" + absent + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	answerTo(t, r, "POST").expect(t, 405, "Connection", "close")
}
