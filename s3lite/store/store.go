package store

import (
	"context"

	"berth/s3lite"
)

// Store is repositories in a bucket. It is safe for concurrent use.
type Store struct {
	opts   Options
	client *s3lite.Client
	keys   keys
}

// New makes a store. It sends nothing: that the bucket is there and may be used
// is seen when it is.
func New(o Options) (*Store, error) {
	o, err := o.completed()
	if err != nil {
		return nil, err
	}
	return &Store{opts: o, client: o.Client, keys: newKeys(o.Root)}, nil
}

// Run does the store's work in the background until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close ends connections that nobody uses. The store itself needs no end.
func (s *Store) Close() error {
	s.client.Close()
	return nil
}
