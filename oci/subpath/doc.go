// Package subpath makes one oci.Store of several: a root store, and stores
// mounted at prefixes of one or more path segments. It also holds the two
// decorators that such a composition needs: ReadOnly, and Lazy, a store whose
// medium may be missing now and back later.
//
// Invariants: a name belongs to exactly one store, that of the longest prefix;
// names inside a mounted store are relative to its prefix; walks go in byte
// order of full names; a store that is unavailable takes away its own names
// and nobody else's; a version handed out for one mount never matches
// another. Nothing here touches a file system: what a medium is, Lazy is told
// by functions.
package subpath
