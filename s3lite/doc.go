// Package s3lite speaks the part of the S3 API that a registry needs, with one
// bucket, in little memory: objects whole and in ranges, conditional writes,
// copies, multipart uploads, lists and deletes.
//
// It owns where a request goes (endpoint.go), what an answer means
// (errors.go), what may be configured (attributes.go) and the calls
// themselves, one file for each kind. Signatures are those of package sigv4,
// connections and repetition those of package wire, credentials come from
// package creds.
//
// Invariants:
//   - A body is streamed, in and out; of an answer in XML no more is held than
//     what is returned, and that is bounded.
//   - A conditional write is not repeated once it may have been carried out:
//     its error is ErrOutcomeUnknown then, and the caller reads what is there.
//   - A body that comes back whole has the length that was announced; it is
//     asked for again from where it was cut, as long as it is the same object.
//   - Errors are *Error; errors.Is finds one of the package's kinds in them.
package s3lite
