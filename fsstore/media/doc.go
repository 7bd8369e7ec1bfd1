// Package media serves removable media: below one directory it looks for mount
// points, directories and tar files as they come and go, and puts the OCI
// layouts on them into a table of mounted stores, read-only.
//
// Invariants: nothing is ever written to a medium; between two reads no file
// and no directory of a medium is open, so that it can be unmounted while
// clients pull from it, which fails their pulls and nothing else; a store that
// was taken away never opens anything again. The directory's own mounts are
// found in /proc/self/mountinfo, and nothing is done on a medium to notice that
// it goes.
package media
