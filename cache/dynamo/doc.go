// Package dynamo is the dedupe index in a table of DynamoDB, for processes that
// share a bucket: oci.Locations over four calls, CreateTable, GetItem,
// UpdateItem and DeleteItem, and no others.
//
// An item of the table is one digest in one store:
//
//	Digest        S   the scope, a bar, the digest: the hash key
//	Repositories  SS  the repositories that were said to hold it
//
// The key's name is the one that tables of the reference registry have, so that
// such a table will do; its own items have no scope, and are left alone.
//
// Invariants: no failure reaches a caller as anything but oci.ErrNoHint or the
// context's error. A push never waits for the table: notes are queued, joined
// by digest, bounded, and written by Run; what is not written when the process
// ends, or does not fit, is lost. While the table cannot be reached nobody
// waits for it. No secret reaches a log.
package dynamo
