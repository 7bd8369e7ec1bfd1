// Package wire carries signed requests to an AWS service and brings its
// answers back. It knows none of the services: s3lite tells it where a call
// goes and how to read a failure, and so may others.
//
// It owns what every call needs: signatures and the correction of a wrong
// clock, retries with full jitter, connections that are used again, the end of
// those that no longer move, and the one error type.
//
// Invariants:
//   - A request is repeated only where that can do no harm: its body can be
//     sent again from the start or was not touched, and where a second time
//     would not be the same as once (Request.Once), only when it is certain
//     that the first was not carried out. Where that cannot be known, the
//     error is ErrOutcomeUnknown.
//   - When Do returns, nothing reads from the request's body any more.
//   - Nothing is held in memory that grows with a body, and answers that are
//     read whole are bounded.
//   - A secret reaches no error and no log.
package wire
