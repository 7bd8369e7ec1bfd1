// Package sigv4 signs requests to AWS and to servers that speak its protocols
// with Signature Version 4: in the Authorization header, in the query of a URL
// that is handed on, and chunk by chunk while a body streams.
//
// It owns the credentials' type too, because nothing else may see a secret: a
// Secret does not print, log or encode itself. The package does no I/O and
// reads no clock.
//
// Paths are encoded once and never normalised, as S3 wants it; for other
// services that makes no difference at the path "/", the only one to use.
package sigv4
