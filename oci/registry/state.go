package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// state is a repository's index at one version. It does not change, its
// derived graph aside.
type state struct {
	index   *oci.Index
	version oci.Version
	since   time.Time // when the index's epoch was first seen, at the latest

	graph    atomic.Pointer[graph] // nil until somebody needed it
	building sync.Mutex            // held by who makes the graph
	// past holds facts known from an earlier state; nil for none.
	past map[oci.Digest]*fact

	// replacing: this process is writing the next index. Until that is
	// acknowledged this one stands, whatever the store would say: nobody need
	// read and parse what the writer knows already.
	replacing atomic.Bool
}

func (s *state) footprint() int64 {
	n := s.index.Footprint() + 256
	if g := s.graph.Load(); g != nil {
		n += g.footprint()
	}
	return n
}

// facts are what is known of manifests that berth did not push.
func (s *state) facts() map[oci.Digest]*fact {
	if g := s.graph.Load(); g != nil {
		return g.facts
	}
	return s.past
}

// load returns a repository's present index: from memory if the store says that
// it is current. Errors: ErrNameUnknown.
func (r *Registry) load(ctx context.Context, repo oci.Repo) (*state, error) {
	if s, ok := r.states.get(repo); ok {
		// Others may have replaced it before.
		if s.replacing.Load() && !r.isShared(repo) {
			return s, nil
		}
		data, version, err := r.store.LoadIndex(ctx, repo, s.version)
		if err != nil {
			return nil, r.lost(repo, err)
		}
		if data == nil && version == s.version {
			return s, nil
		}
		defer r.loading.lock(repo)()
		if now, _ := r.states.get(repo); now != s { // somebody else was faster
			return r.reload(ctx, repo, now)
		}
		return r.parse(repo, s, data, version)
	}
	defer r.loading.lock(repo)()
	s, _ := r.states.get(repo)
	return r.reload(ctx, repo, s)
}

// reload loads an index that is not known to be current. s is what is known of
// it, or nil.
func (r *Registry) reload(ctx context.Context, repo oci.Repo, s *state) (*state, error) {
	var have oci.Version
	if s != nil {
		have = s.version
	}
	data, version, err := r.store.LoadIndex(ctx, repo, have)
	if err != nil {
		return nil, r.lost(repo, err)
	}
	if s != nil && data == nil && version == have {
		return s, nil
	}
	return r.parse(repo, s, data, version)
}

// parse makes an index that was read the one that is known, after s, or nil.
func (r *Registry) parse(repo oci.Repo, s *state, data []byte, version oci.Version) (*state, error) {
	index := oci.NewIndex()
	if len(data) > 0 {
		var err error
		if index, err = oci.ParseIndex(data); err != nil {
			return nil, fmt.Errorf("repository %s: %w", repo, err)
		}
	}
	return r.keep(repo, s, index, version), nil
}

// keep makes an index that was read or written the one that is known. before
// is the state it follows, or nil.
func (r *Registry) keep(repo oci.Repo, before *state, index *oci.Index, version oci.Version) *state {
	s := &state{index: index, version: version, since: r.opts.Now()}
	if before != nil {
		s.past = before.facts()
		if before.index.Epoch() == index.Epoch() {
			s.since = before.since
		}
	}
	r.states.put(oci.Repo(strings.Clone(string(repo))), s, s.footprint())
	return s
}

// lost forgets an index that does not exist any more.
func (r *Registry) lost(repo oci.Repo, err error) error {
	if errors.Is(err, oci.ErrNameUnknown) {
		r.states.drop(repo)
	}
	return err
}
