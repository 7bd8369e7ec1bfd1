package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"berth/s3lite/xmlscan"
)

// tries is what a call remembers between attempts.
type tries struct {
	n, moves         int
	skewed, renewed  bool
	unsure           bool // an earlier attempt may have been carried out
	transientRepeats int
}

const maxMoves = 3

// judge decides whether a failed attempt is followed by another, and when. It
// completes the error.
func (c *Client) judge(ctx context.Context, r *Request, x exchange, t *tries) (time.Duration, bool) {
	e := x.err
	e.Unsure = t.unsure
	unsure := !x.unsent && !refused(e)
	t.unsure = t.unsure || unsure
	if unsure && r.Once {
		e.Kind = ErrOutcomeUnknown
		return 0, false
	}
	if ctx.Err() != nil || x.spent {
		return 0, false
	}
	switch {
	case c.corrected(x, t), c.renewed(e, x, t), moved(r, e, t):
		return 0, true
	case t.n >= c.o.Attempts || !transient(e):
		return 0, false
	}
	limit := min(c.o.MaxBackoff, c.o.Backoff<<min(t.transientRepeats, 20))
	t.transientRepeats++
	return rand.N(limit + 1), true
}

// refused tells whether a failure says for certain that nothing was done.
func refused(e *Error) bool {
	switch {
	case e.Status == 0 || e.Err != nil:
		return false
	case e.Status < 500:
		return true
	case e.Status == http.StatusNotImplemented:
		return true
	}
	return e.Status == http.StatusServiceUnavailable && slices.Contains(throttled, e.Code)
}

// throttled are the codes of services that have too much to do.
var throttled = []string{
	"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
	"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded",
	"ProvisionedThroughputExceededException", "PriorRequestNotComplete", "LimitExceededException",
}

// transient tells whether the same request may do better later.
func transient(e *Error) bool {
	if e.Err != nil {
		return !permanent(e.Err)
	}
	switch e.Status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return slices.Contains(throttled, e.Code) || e.Code == "RequestTimeout" || e.Code == "InternalError"
}

// permanent tells whether what cut an exchange short would do so again.
func permanent(err error) bool {
	for _, kind := range []error{ErrBody, ErrTooLate, xmlscan.ErrSyntax, xmlscan.ErrTooLarge, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err) // plain HTTP at that port
	return ok
}

// corrected takes over the service's clock when a request was refused for a
// time that is far off. A HEAD's answer has no code, only a date.
func (c *Client) corrected(x exchange, t *tries) bool {
	date := x.err.Date
	if t.skewed || date.IsZero() || x.signed.IsZero() || x.err.Status != http.StatusForbidden && x.err.Status != http.StatusBadRequest {
		return false
	}
	if date.Sub(x.signed).Abs() < clockSlack {
		return false
	}
	t.skewed = true
	c.skew.Store(int64(date.Sub(c.o.Clock.Now())))
	return true
}

// renewed asks for other credentials when these were taken for expired.
func (c *Client) renewed(e *Error, x exchange, t *tries) bool {
	expired := slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}, e.Code)
	if !expired || t.renewed || c.o.Credentials == nil {
		return false
	}
	t.renewed = true
	c.o.Credentials.Refused(x.used)
	return true
}

// moved goes where the answer says that the request belongs.
func moved(r *Request, e *Error, t *tries) bool {
	if e.Err != nil || r.Moved == nil || t.moves >= maxMoves || !r.Moved(e) {
		return false
	}
	t.moves++
	return true
}
