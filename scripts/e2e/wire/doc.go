// Package wire speaks the distribution API over plain net/http, a request at a
// time, so that a test can look at every status, header and byte of an answer.
// It owns no knowledge of how a good client behaves: tests send what they like.
package wire
