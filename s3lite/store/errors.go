package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// asStored makes of a call's error one that the ports promise. What a caller
// means by an object that is not there it has to say itself.
func asStored(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isKind(err):
		return err
	case errors.Is(err, s3lite.ErrFull):
		return fmt.Errorf("%w: %w", oci.ErrStorageFull, err)
	}
	return fmt.Errorf("%w: %w", oci.ErrUnavailable, err)
}

// isKind tells whether an error has a kind of package oci already.
func isKind(err error) bool {
	if _, ok := errors.AsType[*oci.Error](err); ok {
		return true
	}
	for _, kind := range []error{
		oci.ErrBlobUnknown, oci.ErrUploadUnknown, oci.ErrUploadInvalid, oci.ErrRangeInvalid, oci.ErrNameUnknown,
		oci.ErrConflict, oci.ErrStorageFull, oci.ErrUnavailable, oci.ErrReadOnly,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// missing makes of the absence of an object what it means.
func missing(err, meaning error) error {
	if errors.Is(err, s3lite.ErrNotFound) {
		return meaning
	}
	return asStored(err)
}

// afterwards is the time that is left for what has to be done whatever became
// of a request: it ends by itself.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
}
