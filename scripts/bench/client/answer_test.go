package client

import (
	"bufio"
	"strings"
	"testing"
)

func TestReadHead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Answer
		fails      bool
	}{
		{"whole", "HTTP/1.1 202 Accepted\r\ncontent-length: 12\r\nLocation: http://host:1/v2/a?b=c\r\nConnection: close\r\n\r\n",
			Answer{202, 12, "/v2/a?b=c", true}, false},
		{"relative location", "HTTP/1.1 201 Created\r\nLocation: /v2/x\r\nContent-Length: 0\r\n\r\n", Answer{201, 0, "/v2/x", false}, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", Answer{204, 0, "", false}, false},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", Answer{}, true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Answer{}, true},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Le", Answer{}, true},
		{"not HTTP", "SSH-2.0-x\r\n", Answer{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := &Conn{in: bufio.NewReader(strings.NewReader(c.text))}
			got, err := conn.ReadHead()
			if (err != nil) != c.fails || err == nil && got != c.want {
				t.Errorf("ReadHead() = %+v, %v; want %+v, failure %t", got, err, c.want, c.fails)
			}
		})
	}
}
