package oci

import (
	"errors"
	"fmt"
)

// The kinds of failure that a client can tell apart. Stores and the registry
// return them, wrapped or as an Error; one file in httpd maps them to a code
// and a status. An error that wraps none of them is an internal failure.
var (
	ErrBlobUnknown         = errors.New("blob unknown to registry")
	ErrUploadInvalid       = errors.New("blob upload invalid")
	ErrUploadUnknown       = errors.New("blob upload unknown to registry")
	ErrRangeInvalid        = errors.New("range does not continue the upload") // 416
	ErrDigestInvalid       = errors.New("provided digest did not match uploaded content")
	ErrDigestUnsupported   = errors.New("digest algorithm is not supported")
	ErrManifestBlobUnknown = errors.New("manifest references a manifest or blob unknown to registry")
	ErrManifestInvalid     = errors.New("manifest invalid")
	ErrManifestUnknown     = errors.New("manifest unknown to registry")
	ErrMediaType           = errors.New("manifest media type is not accepted") // 415
	ErrNameInvalid         = errors.New("invalid repository name")
	ErrNameUnknown         = errors.New("repository name not known to registry")
	ErrTagInvalid          = errors.New("invalid tag")
	ErrSizeInvalid         = errors.New("provided length did not match content length")
	ErrTooLarge            = errors.New("content is larger than the limit") // 413
	ErrPrecondition        = errors.New("precondition failed")              // 412
	ErrUnsupported         = errors.New("the operation is unsupported")     // 405
	ErrReadOnly            = errors.New("this registry is read-only")       // 405
	ErrStorageFull         = errors.New("not enough storage space")         // 507
	ErrUnavailable         = errors.New("storage is not available")         // 503

	// ErrConflict: an index was changed by somebody else since it was loaded.
	// It never reaches a client: the registry loads again and repeats its edit.
	ErrConflict = errors.New("index was changed meanwhile")
	// ErrClientGone: the body ended before its announced length or could not
	// be read to its end. What had arrived is kept where the operation says so.
	ErrClientGone = errors.New("request body ended early")
)

// Error is a failure whose message may be shown to the client. Kind is one of
// the package's Err values.
type Error struct {
	Kind    error
	Message string
	// Detail becomes the JSON "detail" of the answer; nil for none.
	Detail any
}

// Errorf makes an Error of a kind. The message names what failed, where, and
// what to do; it must hold no secret and no path of the machine.
func Errorf(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Kind.Error() + ": " + e.Message }

// Unwrap returns the kind, for errors.Is.
func (e *Error) Unwrap() error { return e.Kind }
