// Package archive serves one OCI image layout in place, as a store with one
// repository: a layout in an uncompressed tar file, read through an index of
// its members' offsets, or a directory that is itself a layout.
//
// Invariants: nothing is ever written; no file or directory stays open between
// calls, an open blob's own aside; a blob is a regular file of the layout, and
// no path or link leads out of it; a file that is replaced is noticed by the
// next call. A layout that cannot be served is an empty store, and the reason
// is logged once for each state of it.
package archive
