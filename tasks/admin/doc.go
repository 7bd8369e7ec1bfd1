// Package admin carries commands from a shell to the server that runs, over a
// unix socket. It owns the socket's file, who may speak, and the lines that go
// over it; what the commands do, it is told by a table.
//
// A client sends one line of JSON and reads lines of JSON:
//
//	> {"verb":"tasks","args":["--json"]}
//	< {"hello":"berth"}                      at once: somebody is there
//	< {"line":{...}}                         any number of times
//	< {"end":true}                           or {"end":true,"error":"..."}
//
// When the client leaves, what its command does is ended.
//
// Invariants: only root and the server's own user are answered. A client is
// bounded in what it sends, in how long it takes to send and to read, and in
// number. There is one server at a path; the socket of one that has died is
// replaced. The path may be longer than the address of a socket can be.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Handler does what a verb stands for. out sends one line, anything that
// encoding/json takes; its error, and ctx's end, mean that the client has left.
// What Handler returns as an error, the client is told.
type Handler func(ctx context.Context, args []string, out func(line any) error) error

// ErrNoServer means that no server listens at a path.
var ErrNoServer = errors.New("no server is running")

// request is what a client sends.
type request struct {
	Verb string   `json:"verb"`
	Args []string `json:"args,omitempty"`
}

// answer is a line that a server sends.
type answer struct {
	Hello string          `json:"hello,omitempty"`
	Line  json.RawMessage `json:"line,omitempty"`
	End   bool            `json:"end,omitempty"`
	Error string          `json:"error,omitempty"`
}

const (
	hello      = "berth"
	maxRequest = 64 << 10 // bytes
	maxLine    = 16 << 20 // bytes of an answer that a client takes
	maxClients = 16       // at a time
	// patience is how long either side waits for the other to send a request
	// or to take a line.
	patience = 10 * time.Second
)
