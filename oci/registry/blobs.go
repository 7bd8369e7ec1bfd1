package registry

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"berth/oci"
)

// StatBlob tells a blob's size (HEAD of end-2). Errors: ErrBlobUnknown.
func (r *Registry) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	info, err := r.statTold(ctx, repo, d)
	if err == nil {
		r.holds(repo, d)
	}
	return info, err
}

// statTold is StatBlob of the store, of which a client is told.
func (r *Registry) statTold(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	defer r.told.promise(repo, string(d)).kept()
	if err := r.awaitRemoval(ctx, repo, d); err != nil {
		return oci.BlobInfo{}, err
	}
	saw := r.looks(repo, d)
	info, err := r.store.StatBlob(ctx, repo, d)
	saw.there(r, err)
	return info, err
}

// OpenBlob opens a blob for who is about to read length bytes from an offset on,
// as oci.PartOpener tells (end-2). The caller seeks there. Errors:
// ErrBlobUnknown.
func (r *Registry) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (oci.Content, error) {
	defer r.told.promise(repo, string(d)).kept()
	if r.shared != nil {
		if err := r.awaitDoom(ctx, blobKey{repo, d}); err != nil {
			return nil, err
		}
	}
	return oci.OpenBlobPart(ctx, r.store, repo, d, offset, length)
}

// RedirectBlob returns where clients can read a blob themselves, "" where they
// are to read it here (end-2). Errors: ErrBlobUnknown.
func (r *Registry) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (url string, err error) {
	defer r.told.promise(repo, string(d)).kept()
	return oci.RedirectBlob(ctx, r.store, repo, d)
}

// holds remembers that a repository holds a blob.
func (r *Registry) holds(repo oci.Repo, d oci.Digest) {
	if _, ok := r.holders.get(d); !ok {
		r.holders.put(oci.Digest(strings.Clone(string(d))), oci.Repo(strings.Clone(string(repo))), 1)
	}
}

// mountWalk is how many repositories an anonymous mount looks into.
const mountWalk = 256

// Mount makes a blob of another repository appear in repo (end-11); from ""
// means any repository that is known to hold it. Errors: ErrBlobUnknown: the
// caller begins an upload instead.
func (r *Registry) Mount(ctx context.Context, repo, from oci.Repo, d oci.Digest) error {
	defer r.wrote()
	if from == "" {
		return r.mountAny(ctx, repo, d)
	}
	err := r.link(ctx, from, repo, d)
	if err == nil {
		r.holds(from, d)
	}
	return err
}

// link mounts from a certain repository.
func (r *Registry) link(ctx context.Context, from, repo oci.Repo, d oci.Digest) error {
	if from == repo {
		_, err := r.statTold(ctx, repo, d)
		return asBlobUnknown(err)
	}
	defer r.told.promise(repo, string(d)).kept()
	if err := r.awaitRemoval(ctx, repo, d); err != nil {
		return err
	}
	saw := r.looks(repo, d)
	err := r.store.LinkBlob(ctx, from, repo, d)
	saw.there(r, err)
	return asBlobUnknown(err)
}

// holdersAsked is how many repositories of the Finder's an anonymous mount
// tries.
const holdersAsked = 8

// mountAny mounts from the repository itself, from one that was seen to hold
// the blob, from one that the Finder tells of, or else from one of the first
// in the catalog.
func (r *Registry) mountAny(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if err := r.link(ctx, repo, repo, d); !errors.Is(err, oci.ErrBlobUnknown) {
		return err
	}
	if from, ok := r.holders.get(d); ok {
		if err := r.link(ctx, from, repo, d); !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
		r.holders.drop(d)
	}
	if err := r.mountFound(ctx, repo, d); !errors.Is(err, oci.ErrBlobUnknown) {
		return err
	}
	looked := 0
	mounted := errors.New("mounted")
	err := r.store.WalkRepos(ctx, "", func(from oci.Repo) error {
		if looked++; looked > mountWalk {
			return errEnough
		}
		err := r.link(ctx, from, repo, d)
		if errors.Is(err, oci.ErrBlobUnknown) {
			return nil
		}
		if err == nil {
			r.holds(from, d)
			return mounted
		}
		return err
	})
	switch {
	case errors.Is(err, mounted):
		return nil
	case err == nil || errors.Is(err, errEnough):
		return oci.Errorf(oci.ErrBlobUnknown, "no repository is known to hold %s", d)
	}
	return err
}

// mountFound mounts from a repository that the Finder tells of.
func (r *Registry) mountFound(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if r.opts.Finder == nil {
		return oci.ErrBlobUnknown
	}
	found, err := r.opts.Finder.Holders(ctx, d, holdersAsked)
	if err != nil {
		return oci.ErrBlobUnknown // it knows nothing now
	}
	for _, from := range slices.Backward(found) {
		err := r.link(ctx, from, repo, d)
		if err == nil {
			r.holds(from, d)
		}
		if !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
	}
	return oci.ErrBlobUnknown
}

// StartUpload begins a blob upload session (end-4a, end-4c).
func (r *Registry) StartUpload(ctx context.Context, repo oci.Repo, a oci.Algorithm) (oci.UploadID, error) {
	defer r.wrote()
	defer r.told.naming(repo).kept()
	id, err := r.store.CreateUpload(ctx, repo, a)
	if err == nil {
		r.told.remember(repo, string(id))
	}
	return id, err
}

// AppendUpload is oci.Uploads.AppendUpload (end-5).
func (r *Registry) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, body io.Reader) (int64, error) {
	defer r.wrote()
	defer r.told.remember(repo, string(id)) // for as long again
	defer r.told.promise(repo, string(id)).kept()
	return r.store.AppendUpload(ctx, repo, id, at, body)
}

// FinishUpload is oci.Uploads.FinishUpload (end-6).
func (r *Registry) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, body io.Reader) (int64, error) {
	defer r.wrote()
	defer r.told.promise(repo, string(id)).kept()
	defer r.told.promise(repo, string(d)).kept()
	if err := r.awaitRemoval(ctx, repo, d); err != nil {
		return 0, err
	}
	saw := r.looks(repo, d)
	size, err := r.store.FinishUpload(ctx, repo, id, d, at, body)
	saw.there(r, err)
	if err == nil {
		r.told.remember(repo, string(d)) // from now on
		r.holds(repo, d)
	}
	return size, err
}

// PushBlob stores a blob in one request (end-4b). On failure nothing of it is
// left. Errors: ErrDigestInvalid, ErrClientGone.
func (r *Registry) PushBlob(ctx context.Context, repo oci.Repo, d oci.Digest, body io.Reader) error {
	id, err := r.StartUpload(ctx, repo, d.Algorithm())
	if err != nil {
		return err
	}
	if _, err := r.FinishUpload(ctx, repo, id, d, 0, body); err != nil {
		cancel := r.store.CancelUpload(context.WithoutCancel(ctx), repo, id)
		if cancel != nil && !errors.Is(cancel, oci.ErrUploadUnknown) {
			r.opts.Log.Warn("an upload that failed could not be cancelled", "repository", repo, "upload", id, "error", cancel)
		}
		return err
	}
	return nil
}

// StatUpload tells what has arrived (end-13). Errors: ErrUploadUnknown.
func (r *Registry) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	return r.store.StatUpload(ctx, repo, id)
}

// CancelUpload ends a session (end-14). Errors: ErrUploadUnknown.
func (r *Registry) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	return r.store.CancelUpload(ctx, repo, id)
}
