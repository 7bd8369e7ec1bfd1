package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// Options of a Store. Only Client is needed. Storage class, ACL and encryption
// are the client's.
type Options struct {
	Client *s3lite.Client
	// Root begins every key; "" for the whole bucket.
	Root string

	// ChunkSize is that of an upload's parts, and of the buffer that an upload
	// holds, in bytes; 0: 10 MiB. Below s3lite.MinPart it is that.
	ChunkSize int64
	// UploadMemory bounds the buffers of all uploads together, in bytes; an
	// upload that finds no room waits. 0: four times ChunkSize, which is also
	// the least that makes sense for four at a time; below ChunkSize it is that.
	UploadMemory int64
	// CopyThreshold is the size above which an object is copied in parts of
	// CopyChunkSize bytes, CopyConcurrency at a time; 0: 32 MiB, 32 MiB and 8.
	CopyThreshold, CopyChunkSize int64
	CopyConcurrency              int

	// Dedupe stores large content once for all repositories. Without it what
	// was shared before is made whole again by Run.
	Dedupe bool
	// Locations is asked where content may be, for what another registry left;
	// nil: nobody knows.
	Locations oci.Locations

	// IndexMaxAge is for how long an index is taken for current without asking
	// the bucket; 0: it is asked each time.
	IndexMaxAge time.Duration

	// Redirect has clients fetch large blobs from the bucket, by URLs that are
	// valid for RedirectFor; 0: 20 minutes.
	Redirect    bool
	RedirectFor time.Duration

	// Owner names this process in leases, for people; "" for none.
	Owner string
	Log   *slog.Logger // nil: discard
	// Now is the clock; nil: time.Now. Only differences count.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, which is an error; nil: it does.
	Sleep func(ctx context.Context, d time.Duration) error

	minPart int64 // smaller ones for tests
}

const (
	defaultChunk       = 10 << 20
	defaultCopy        = 32 << 20
	defaultCopies      = 8
	defaultRedirectFor = 20 * time.Minute
	// chunksInMemory is how many buffers there are by default.
	chunksInMemory = 4
)

// completed fills in what is not set.
func (o Options) completed() (Options, error) {
	if o.Client == nil {
		return o, errors.New("a store in a bucket needs a client")
	}
	o.Root = strings.Trim(o.Root, "/")
	setDefault(&o.minPart, s3lite.MinPart)
	setDefault(&o.ChunkSize, defaultChunk)
	o.ChunkSize = max(o.ChunkSize, o.minPart)
	setDefault(&o.UploadMemory, chunksInMemory*o.ChunkSize)
	o.UploadMemory = max(o.UploadMemory, o.ChunkSize)
	setDefault(&o.CopyThreshold, defaultCopy)
	o.CopyThreshold = min(o.CopyThreshold, s3lite.MaxPart)
	setDefault(&o.CopyChunkSize, defaultCopy)
	o.CopyChunkSize = max(o.CopyChunkSize, o.minPart)
	setDefault(&o.CopyConcurrency, defaultCopies)
	setDefault(&o.RedirectFor, defaultRedirectFor)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
