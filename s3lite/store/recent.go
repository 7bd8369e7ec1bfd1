package store

import (
	"container/list"
	"sync"
	"time"
)

// recent remembers what was seen lately: at most so many entries, each for a
// while. What it says is a hint that may be out of date.
type recent[K comparable, V any] struct {
	most int
	life time.Duration // 0: for ever
	now  func() time.Time

	mu      sync.Mutex // guards all below
	entries map[K]*list.Element
	order   list.List // of *seen, the latest first
}

type seen[K comparable, V any] struct {
	key   K
	value V
	at    time.Time
}

func newRecent[K comparable, V any](most int, life time.Duration, now func() time.Time) *recent[K, V] {
	return &recent[K, V]{most: most, life: life, now: now, entries: map[K]*list.Element{}}
}

func (r *recent[K, V]) get(key K) (value V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		return value, false
	}
	s := e.Value.(*seen[K, V])
	if r.life > 0 && r.now().Sub(s.at) >= r.life {
		r.remove(e)
		return value, false
	}
	r.order.MoveToFront(e)
	return s.value, true
}

func (r *recent[K, V]) put(key K, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[key]; ok {
		*e.Value.(*seen[K, V]) = seen[K, V]{key, value, r.now()}
		r.order.MoveToFront(e)
		return
	}
	r.entries[key] = r.order.PushFront(&seen[K, V]{key, value, r.now()})
	if r.order.Len() > r.most {
		r.remove(r.order.Back())
	}
}

func (r *recent[K, V]) drop(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[key]; ok {
		r.remove(e)
	}
}

func (r *recent[K, V]) remove(e *list.Element) {
	delete(r.entries, e.Value.(*seen[K, V]).key)
	r.order.Remove(e)
}
