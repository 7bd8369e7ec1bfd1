package fsstore

import "sync"

// recent is a set that forgets arbitrary members when it would grow over its
// bound: for knowledge that can be had again.
type recent[K comparable] struct {
	mu    sync.RWMutex // guards set
	set   map[K]struct{}
	bound int
}

func newRecent[K comparable](bound int) *recent[K] {
	return &recent[K]{set: make(map[K]struct{}), bound: bound}
}

func (r *recent[K]) has(k K) bool {
	r.mu.RLock()
	_, ok := r.set[k]
	r.mu.RUnlock()
	return ok
}

// add reports whether k is new.
func (r *recent[K]) add(k K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.set[k]; ok {
		return false
	}
	if len(r.set) >= r.bound {
		for other := range r.set {
			delete(r.set, other)
			break
		}
	}
	r.set[k] = struct{}{}
	return true
}

func (r *recent[K]) remove(k K) {
	r.mu.Lock()
	delete(r.set, k)
	r.mu.Unlock()
}
