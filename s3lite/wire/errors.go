package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var (
	// ErrOutcomeUnknown: the request may have been carried out, and to repeat
	// it would not be the same as once. Read what is there now.
	ErrOutcomeUnknown = errors.New("it is not known whether the request was carried out")
	// ErrStalled: for a while, nothing moved on the connection.
	ErrStalled = errors.New("the connection stalled")
	// ErrBody: the body that was to be sent could not be read to its end.
	ErrBody = errors.New("request body ended early")
)

// Error is a call that failed. errors.Is finds its Kind and its cause.
type Error struct {
	Op     string // the service's name of the call
	Target string // what it was for, such as bucket/key
	// Status of the answer; 0 where there was none, or none to the end.
	Status                   int
	Code, Message, RequestID string
	// Region is where the answer says that the request belongs, if it does.
	Region   string
	Location string // of a redirect
	Date     time.Time
	Attempts int
	// Unsure: an earlier attempt may have been carried out, which may be why
	// this one failed.
	Unsure bool
	// Kind is what the service's package makes of it, or ErrOutcomeUnknown;
	// may be nil.
	Kind error
	// Err is what cut the exchange short; nil where there is a whole answer.
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Target != "" {
		b.WriteString(" " + e.Target)
	}
	b.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d %s", e.Status, first(e.Code, http.StatusText(e.Status)))
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
	}
	if e.Err != nil {
		b.WriteString(strings.TrimPrefix(": "+e.Err.Error(), map[bool]string{true: ": "}[e.Status == 0]))
	}
	if errors.Is(e.Kind, ErrOutcomeUnknown) {
		b.WriteString("; " + ErrOutcomeUnknown.Error())
	}
	if e.RequestID != "" {
		b.WriteString(" (request id " + e.RequestID + ")")
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	return b.String()
}

// Unwrap returns the kind and the cause, those that there are.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
