package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// Where dedupe is off, and references are left from when it was on, Run makes
// objects of them: by copies inside of the bucket, one repository after the
// other, and where it stood is kept. Until then references are read as before.

// restoreNote has how far the restoring has come.
const restoreNote = "restore.json"

// restored says up to which repository all are done.
type restored struct {
	Version int      `json:"version"`
	Done    oci.Repo `json:"done"`
}

const (
	// restoreDelay leaves a start alone; restoreAgain is when a round that
	// failed is tried again.
	restoreDelay = 30 * time.Second
	restoreAgain = 5 * time.Minute
	// restoreLife is after how long another process takes over.
	restoreLife = time.Minute
)

// restoreAll makes objects of all references, as often as it has to be tried.
func (s *Store) restoreAll(ctx context.Context) {
	lease := s.newLease("restore", restoreLife)
	for wait := restoreDelay; s.opts.Sleep(ctx, wait) == nil; wait = restoreAgain {
		done, err := s.restoreRound(ctx, lease)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil {
			s.opts.Log.Warn("references could not all be made objects; it is tried again", "after", restoreAgain, "error", err)
		}
	}
}

// restoreRound is one round, if no other process is at it and there is
// something to do.
func (s *Store) restoreRound(ctx context.Context, lease *lease) (done bool, err error) {
	content, etag, err := s.read(ctx, s.keys.about())
	if err != nil || etag == "" {
		return err == nil, asStored(err)
	}
	var known about
	if err := json.Unmarshal(content, &known); err != nil || !known.Shared {
		return true, err
	}
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	held, err := lease.try(ctx)
	if err != nil || !held {
		return false, err
	}
	defer func() {
		after, cancel := afterwards(ctx)
		defer cancel()
		err = errors.Join(err, lease.release(after))
	}()
	if err := s.restoreFrom(ctx, lease); err != nil {
		return false, err
	}
	known.Shared = false
	if content, err = json.Marshal(known); err != nil {
		return false, err
	}
	if _, err := s.swapBytes(ctx, s.keys.about(), etag, content); err != nil {
		return false, conflicted(err)
	}
	return true, s.SaveNote(restoreNote, []byte(`{"version":1}`), false)
}

// errLeaseLost: another process goes on with it.
var errLeaseLost = errors.New("another process has taken over")

// restoreFrom goes on where the last round stood.
func (s *Store) restoreFrom(ctx context.Context, lease *lease) error {
	text, err := s.LoadNote(restoreNote, smallBlob)
	if err != nil {
		return err
	}
	var at restored
	if err := json.Unmarshal(text, &at); err != nil || at.Version != 1 {
		at = restored{Version: 1} // from the beginning
	}
	return s.WalkRepos(ctx, at.Done, func(repo oci.Repo) error {
		count, err := s.restoreRepo(ctx, repo, lease)
		if err != nil || count == 0 {
			return err
		}
		at.Done = repo
		note, err := json.Marshal(at)
		if err == nil {
			err = s.SaveNote(restoreNote, note, false)
		}
		return err
	})
}

// restoreRepo makes objects of a repository's references.
func (s *Store) restoreRepo(ctx context.Context, repo oci.Repo, lease *lease) (count int, err error) {
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		prefix := s.keys.blobs(repo, a)
		err := s.client.Walk(ctx, prefix, "", func(o s3lite.Info) error {
			d, ok := parseDigest(o.Key, s.keys.repo(repo)+oci.LayoutBlobs+"/")
			if !ok || o.Size > 0 || isEmpty(d) {
				return nil
			}
			if held, err := lease.try(ctx); err != nil || !held {
				return errors.Join(errLeaseLost, err)
			}
			count++
			return s.restoreBlob(ctx, repo, d)
		})
		if err != nil {
			return count, asStored(err)
		}
	}
	return count, nil
}

// restoreBlob makes an object of a reference. One whose content is nowhere
// stays as it is: unknown, and told of in the log.
func (s *Store) restoreBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	h, err := s.look(ctx, repo, d)
	if err == nil && (h.shared || h.foreign) {
		from := place{key: s.keys.content(d), size: h.size}
		if h.foreign {
			from, err = s.locate(ctx, d)
		}
		if err == nil {
			err = s.copy(ctx, from, s.keys.blob(repo, d))
		}
		s.refs.drop(blobID{repo, d})
	}
	if errors.Is(err, oci.ErrBlobUnknown) || errors.Is(err, s3lite.ErrNotFound) {
		s.opts.Log.Warn("the content of a blob is nowhere in the bucket", "repository", repo, "blob", d)
		return nil
	}
	return err
}
