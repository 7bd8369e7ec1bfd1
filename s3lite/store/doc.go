// Package store keeps repositories in a bucket: the ports of package oci over
// package s3lite. It owns every key below the root directory.
//
// The layout is that of an OCI image layout for each repository, with one
// difference: where dedupe is on, large content lies once below .berth/content,
// and a repository has a reference to it, an object of no bytes whose metadata
// say so. docs/FORMAT.md has the keys, the order of writes, and what a crash
// may leave.
//
// Invariants:
//   - Nothing is listed at the start, and nothing is kept on the machine.
//   - Any number of processes may use one root, without a server of locks: an
//     index changes by conditional writes, a session too, and shared content is
//     deleted by a protocol that needs no clock (sweep.go).
//   - What is stored under a digest was checked against it, or copied inside of
//     the bucket from what was.
//   - An object of no bytes is never served as a blob, but for that of the empty
//     content.
//   - Of an upload no more than one part is held in memory, and of all uploads
//     no more than Options.UploadMemory.
package store
