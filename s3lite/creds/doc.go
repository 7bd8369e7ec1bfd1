// Package creds finds the credentials that requests to AWS are signed with:
// given ones, and where AWS's own tools look: the environment, a web
// identity's token, shared files, the containers' endpoint and the instance's
// metadata.
//
// Invariants: what a source holds is asked for again before it expires, by one
// goroutine while others go on with what is good; no secret reaches an error
// or a log; a source that is configured and does not work is an error, not a
// reason to look elsewhere.
package creds

import (
	"context"
	"errors"

	"berth/s3lite/sigv4"
)

// Source is a place where credentials may be.
type Source interface {
	// Name says what it is, for people.
	Name() string
	// Retrieve asks for credentials. ErrNone: nothing is configured here.
	Retrieve(ctx context.Context) (sigv4.Credentials, error)
}

// ErrNone: a source has no credentials, and nothing says that it should.
var ErrNone = errors.New("no credentials here")
