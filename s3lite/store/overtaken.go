package store

import (
	"context"
	"errors"

	"berth/oci"
	"berth/s3lite"
)

// Another process may end a session, or write to it, while a request of this one
// is under way: a client whose connection broke repeats its request elsewhere.
// Then objects and parts are gone that the session tells of, and what fails is
// not the bucket.

// overtaken is the error of a step on behalf of a session, or what it means where
// another request has the session now. Errors: ErrUploadUnknown, ErrRangeInvalid.
func (w *writer) overtaken(ctx context.Context, err error) error {
	w.store.sessions.drop(w.name)
	if !lacks(err) {
		return asStored(err)
	}
	info, headErr := w.store.client.HeadObject(ctx, w.store.keys.session(w.name.repo, w.name.id), s3lite.GetOptions{})
	switch {
	case errors.Is(headErr, s3lite.ErrNotFound):
		return oci.ErrUploadUnknown
	case headErr != nil || errors.Is(err, s3lite.ErrPrecondition) && info.ETag == w.etag:
		return asStored(err)
	case info.ETag != w.etag:
		return oci.Errorf(oci.ErrRangeInvalid, "another request has written to the upload; ask where it stands")
	}
	// It is being removed, or somebody has removed its parts.
	return oci.Errorf(oci.ErrUploadUnknown, "parts of the upload are gone; begin a new one")
}

// lacks tells whether a step failed since something was not there, or another
// one, that was there before.
func lacks(err error) bool {
	for _, kind := range []error{s3lite.ErrNotFound, s3lite.ErrNoSuchUpload, s3lite.ErrInvalidPart, s3lite.ErrPrecondition} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// placedElsewhere tells whether the content is a blob of the repository, though
// this process could not make it one. It is what the client has sent, so it
// does not matter who was faster; and who was removes the session.
func (w *writer) placedElsewhere(ctx context.Context, d oci.Digest, err error) bool {
	if !lacks(err) && !errors.Is(err, oci.ErrUploadUnknown) && !errors.Is(err, oci.ErrRangeInvalid) {
		return false
	}
	w.store.sessions.drop(w.name)
	_, err = w.store.StatBlob(ctx, w.name.repo, d)
	return err == nil
}
