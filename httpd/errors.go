package httpd

import (
	"encoding/json"
	"errors"
	"net/http"

	"berth/oci"
)

// A failure is what a client is told of an error.
type failure struct {
	status  int
	code    string // of the specification's table of error codes
	message string
	detail  any
	// retryAfter, in seconds, is sent where it is not 0.
	retryAfter int
	// allow is the Allow header of a 405.
	allow string
}

// Error makes a failure an error, for those that are about HTTP alone.
func (f *failure) Error() string { return f.message }

func errBadRequest(message string) error {
	return &failure{status: http.StatusBadRequest, code: "UNSUPPORTED", message: message}
}

func errNotFound() error {
	return &failure{status: http.StatusNotFound, code: "UNSUPPORTED", message: "there is nothing at this path"}
}

func errTooLong(message string) error {
	return &failure{status: http.StatusRequestURITooLong, code: "UNSUPPORTED", message: message}
}

// failures has the answer to each kind of failure. The specification has no
// code for some of them; those get the nearest one, and the status tells.
// The order matters only in that an error may wrap several kinds.
func failures() []kindOfFailure {
	return []kindOfFailure{
		{oci.ErrBlobUnknown, failure{status: 404, code: "BLOB_UNKNOWN"}},
		{oci.ErrUploadInvalid, failure{status: 400, code: "BLOB_UPLOAD_INVALID"}},
		{oci.ErrUploadUnknown, failure{status: 404, code: "BLOB_UPLOAD_UNKNOWN"}},
		{oci.ErrRangeInvalid, failure{status: 416, code: "BLOB_UPLOAD_INVALID"}},
		{oci.ErrDigestInvalid, failure{status: 400, code: "DIGEST_INVALID"}},
		{oci.ErrDigestUnsupported, failure{status: 400, code: "DIGEST_INVALID"}},
		{oci.ErrManifestBlobUnknown, failure{status: 404, code: "MANIFEST_BLOB_UNKNOWN"}},
		{oci.ErrManifestInvalid, failure{status: 400, code: "MANIFEST_INVALID"}},
		{oci.ErrManifestUnknown, failure{status: 404, code: "MANIFEST_UNKNOWN"}},
		{oci.ErrMediaType, failure{status: 415, code: "MANIFEST_INVALID"}},
		{oci.ErrNameInvalid, failure{status: 400, code: "NAME_INVALID"}},
		{oci.ErrNameUnknown, failure{status: 404, code: "NAME_UNKNOWN"}},
		{oci.ErrTagInvalid, failure{status: 400, code: "MANIFEST_INVALID"}},
		{oci.ErrSizeInvalid, failure{status: 400, code: "SIZE_INVALID"}},
		{oci.ErrTooLarge, failure{status: 413, code: "SIZE_INVALID"}},
		{oci.ErrPrecondition, failure{status: 412, code: "DENIED"}},
		{oci.ErrUnsupported, failure{status: 405, code: "UNSUPPORTED"}},
		{oci.ErrReadOnly, failure{status: 405, code: "UNSUPPORTED"}},
		{oci.ErrStorageFull, failure{status: 507, code: "DENIED"}},
		{oci.ErrUnavailable, failure{status: 503, code: "DENIED", retryAfter: 10}},
		{oci.ErrConflict, failure{status: 503, code: "TOOMANYREQUESTS", retryAfter: 1}},
		{oci.ErrClientGone, failure{status: 400, code: "BLOB_UPLOAD_INVALID"}},
	}
}

type kindOfFailure struct {
	kind error
	is   failure
}

// explain maps an error to what the client is told. known is false for an
// error that is nobody's but the server's: the client gets an opaque 500, and
// the caller logs the detail.
func explain(err error, requestID string) (f failure, known bool) {
	if own, ok := errors.AsType[*failure](err); ok {
		return *own, true
	}
	for _, k := range failures() {
		if errors.Is(err, k.kind) {
			return k.worded(err), true
		}
	}
	return failure{
		status:  http.StatusInternalServerError,
		code:    "UNSUPPORTED",
		message: "internal error; the server's log has the details under request id " + requestID,
	}, false
}

// worded takes message and detail from the error where it is an oci.Error,
// whose message is meant for the client.
func (k kindOfFailure) worded(err error) failure {
	f := k.is
	f.message = k.kind.Error()
	if e, ok := errors.AsType[*oci.Error](err); ok {
		f.message, f.detail = e.Message, e.Detail
	}
	return f
}

// body is the JSON of the specification's section on error codes.
func (f *failure) body() []byte {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	doc := struct {
		Errors []entry `json:"errors"`
	}{[]entry{{f.code, f.message, f.detail}}}
	out, err := json.Marshal(doc)
	if err != nil { // a detail that is not JSON
		doc.Errors[0].Detail = nil
		out, _ = json.Marshal(doc)
	}
	return append(out, '\n')
}
