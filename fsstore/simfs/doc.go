// Package simfs is a file system in memory, for tests, that forgets what was
// not synced. It stands behind durable.FS.
//
// It keeps two states: what calls see, and what a power cut leaves. A file's
// content reaches the second by Sync, a directory's entries by SyncDir, both by
// the medium's Sync. Crash makes a file system of the second state, or of one
// of the many between the two that a real one may leave (Loss). Fail makes a
// chosen call fail, before or after it took effect, or cuts the power there.
//
// A rename is atomic, also between directories: every journal and every
// copy-on-write file system sees to that, and nothing can be built without.
// There are no symbolic links.
package simfs
