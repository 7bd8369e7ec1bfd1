// Package oci is berth's vocabulary: the names, digests, manifests, indexes and
// errors of the OCI Distribution and Image specifications, the pure edits of a
// repository's index, and the ports (Blobs, Uploads, Indexes, Repos) that every
// store provides.
//
// Invariants: nothing here performs I/O, reads a clock or logs; a value of type
// Repo, Tag, Digest or UploadID that came from its Parse function matches the
// grammar and is safe to make a path or an object key from.
package oci
