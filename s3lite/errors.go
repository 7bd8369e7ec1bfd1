package s3lite

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"

	"berth/s3lite/wire"
	"berth/s3lite/xmlscan"
)

// Error is a call that failed, with the service's own words and request id.
type Error = wire.Error

// The kinds of failure that callers tell apart. One without a kind is a
// failure of the way there, or one that only a person can judge.
var (
	ErrNotFound       = errors.New("no such object")                             // 404
	ErrNoSuchBucket   = errors.New("no such bucket")                             // 404
	ErrNoSuchUpload   = errors.New("no such multipart upload")                   // 404
	ErrPrecondition   = errors.New("a precondition failed")                      // 412
	ErrConflict       = errors.New("another request is writing the same object") // 409
	ErrNotModified    = errors.New("not modified")                               // 304
	ErrAccessDenied   = errors.New("access denied")                              // 401, 403
	ErrInvalidRange   = errors.New("range lies behind the object's end")         // 416
	ErrBadDigest      = errors.New("body does not match its checksum")           // 400
	ErrInvalidPart    = errors.New("a part is missing, too small or not in order")
	ErrSlowDown       = errors.New("the service has too much to do") // 429, 503
	ErrNotImplemented = errors.New("the service does not know this call")
	ErrFull           = errors.New("the service has no space left") // 507
	// ErrOutcomeUnknown: a write that must not be done twice may have been
	// carried out. Read what is there.
	ErrOutcomeUnknown = wire.ErrOutcomeUnknown
	// ErrTooLate: the time for the request was over before it could be sent.
	ErrTooLate = wire.ErrTooLate
	// ErrStalled: for the time of Options.Stall, nothing moved.
	ErrStalled = wire.ErrStalled
	// ErrBody: the source of a request's body failed or ended early.
	ErrBody = wire.ErrBody
)

// kindsByCode come before the status.
var kindsByCode = map[string]error{
	"NoSuchBucket":                   ErrNoSuchBucket,
	"NoSuchUpload":                   ErrNoSuchUpload,
	"PreconditionFailed":             ErrPrecondition,
	"BadDigest":                      ErrBadDigest,
	"InvalidDigest":                  ErrBadDigest,
	"XAmzContentSHA256Mismatch":      ErrBadDigest,
	"InvalidPart":                    ErrInvalidPart,
	"InvalidPartOrder":               ErrInvalidPart,
	"EntityTooSmall":                 ErrInvalidPart,
	"NotImplemented":                 ErrNotImplemented,
	"InsufficientStorage":            ErrFull,
	"QuotaExceeded":                  ErrFull,
	"XMinioStorageFull":              ErrFull,
	"XMinioAdminBucketQuotaExceeded": ErrFull,
}

var kindsByStatus = map[int]error{
	http.StatusNotFound:                     ErrNotFound,
	http.StatusPreconditionFailed:           ErrPrecondition,
	http.StatusConflict:                     ErrConflict,
	http.StatusNotModified:                  ErrNotModified,
	http.StatusUnauthorized:                 ErrAccessDenied,
	http.StatusForbidden:                    ErrAccessDenied,
	http.StatusRequestedRangeNotSatisfiable: ErrInvalidRange,
	http.StatusTooManyRequests:              ErrSlowDown,
	http.StatusServiceUnavailable:           ErrSlowDown,
	http.StatusNotImplemented:               ErrNotImplemented,
	http.StatusInsufficientStorage:          ErrFull,
}

func kindOf(e *Error) error {
	if kind, ok := kindsByCode[e.Code]; ok {
		return kind
	}
	return kindsByStatus[e.Status]
}

// faultOf reads the answer to a request that failed.
func faultOf(header http.Header, body []byte) wire.Fault {
	f := wire.Fault{Region: header.Get("X-Amz-Bucket-Region"), RequestID: header.Get("X-Amz-Request-Id")}
	// What is no XML comes from a proxy, and its status has to do.
	_ = xmlscan.Scan(bytes.NewReader(body), int64(len(body))+1, func(path, text []byte) error {
		readFault(&f, string(path), string(text))
		return nil
	})
	return f
}

// readFault takes in one element of an error's answer; it tells whether it was
// one.
func readFault(f *wire.Fault, path, text string) bool {
	name, ok := strings.CutPrefix(path, "Error/")
	if !ok {
		return path == "Error"
	}
	switch name {
	case "Code":
		f.Code = text
	case "Message":
		f.Message = text
	case "RequestId":
		f.RequestID = text
	case "Region":
		f.Region = text
	}
	return true
}

// lateFailure is the error of an answer that said 200 and turned out to be
// none of success. It gets the status that its code has elsewhere.
func lateFailure(f wire.Fault) *Error {
	e := &Error{Status: http.StatusInternalServerError, Code: f.Code, Message: f.Message, RequestID: f.RequestID}
	for status, codes := range statusOfCodes {
		if slices.Contains(codes, f.Code) {
			e.Status = status
		}
	}
	e.Kind = kindOf(e)
	return e
}

var statusOfCodes = map[int][]string{
	http.StatusBadRequest: {
		"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "EntityTooLarge", "InvalidArgument", "InvalidRequest", "MalformedXML", "BadDigest",
	},
	http.StatusForbidden:          {"AccessDenied", "InvalidObjectState"},
	http.StatusNotFound:           {"NoSuchKey", "NoSuchUpload", "NoSuchBucket"},
	http.StatusConflict:           {"ConditionalRequestConflict", "OperationAborted"},
	http.StatusPreconditionFailed: {"PreconditionFailed"},
	http.StatusServiceUnavailable: {"SlowDown", "ServiceUnavailable"},
}
