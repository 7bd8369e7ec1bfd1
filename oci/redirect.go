package oci

import "context"

// Redirector is what a store may also be whose content clients can read where
// it lies, without the bytes passing through here. Without it, and where it
// has nothing to say, blobs are read by OpenBlob.
type Redirector interface {
	// RedirectBlob returns a URL at which whoever has it can read a blob for a
	// while, in whole and in ranges; "" where that is not to be. The blob was
	// there when it was asked for. Errors: ErrBlobUnknown.
	RedirectBlob(ctx context.Context, repo Repo, d Digest) (url string, err error)
}

// RedirectBlob is Redirector.RedirectBlob where the store is one, and "" of any
// other.
func RedirectBlob(ctx context.Context, blobs Blobs, repo Repo, d Digest) (url string, err error) {
	if r, ok := blobs.(Redirector); ok {
		return r.RedirectBlob(ctx, repo, d)
	}
	return "", nil
}
