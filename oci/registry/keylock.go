package registry

import "sync"

// keyLock is a mutex for each key. One that nobody holds or waits for takes no
// memory. It keeps many callers from doing the same reading at once.
type keyLock[K comparable] struct {
	mu   sync.Mutex // guards held
	held map[K]*heldKey
}

type heldKey struct {
	// free holds a token while nobody has the key: a channel, since what is
	// waited for is a store's answer.
	free  chan struct{}
	users int // guarded by keyLock.mu
}

// lock waits for the key and returns what gives it free.
func (l *keyLock[K]) lock(key K) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[K]*heldKey{}
	}
	h := l.held[key]
	if h == nil {
		h = &heldKey{free: make(chan struct{}, 1)}
		h.free <- struct{}{}
		l.held[key] = h
	}
	h.users++
	l.mu.Unlock()
	<-h.free
	return func() {
		h.free <- struct{}{}
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(l.held, key)
		}
	}
}
