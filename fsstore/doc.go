// Package fsstore keeps repositories as OCI image layouts on a local file
// system. It owns everything below its root; docs/FORMAT.md describes that.
//
// Invariants:
//   - Each repository is a valid OCI image layout whenever its oci-layout file
//     exists, and is visible only then. Nothing else on the disk is truth: what
//     lies in .berth helps unfinished work and crash recovery.
//   - A blob appears under its digest by one rename or link of a complete,
//     verified file, and its content never changes after that.
//   - index.json changes only by a rename of a complete file over it, under the
//     repository's lock, and no two of its states have equal versions.
//   - With Options.Commit, a method that returns nil has made durable what it
//     did. Without, order and atomicity are the same, and what was written
//     shortly before an unclean stop is checked before it is served.
//   - A store opened read-only makes no call that changes the medium.
package fsstore
