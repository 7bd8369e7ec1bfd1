// Package cache is the dedupe index on local disk: oci.Locations over Badger.
//
// It owns one directory, which holds nothing but what can be found again by a
// walk over the repositories, so all of it may be deleted at any time:
//
//	lock            flock(2) of the process that uses the directory
//	probing         the marker: Badger is being opened or closed; found at an
//	                opening, it says that the last try took the process down
//	state           sequence number and entry count of the last write
//	db-<number>/    Badger's own files
//
// Invariants: no failure reaches a caller as anything but oci.ErrNoHint. A
// directory that looks damaged is wiped, never repaired: Badger ends the
// process over some damage, from goroutines of its own, so its files are
// checked before it sees them. Only Index.Run opens, writes, closes and wipes;
// everybody else reads, or leaves a note for it. Nothing is opened before the
// first note or question, and it is closed again when idle.
package cache
