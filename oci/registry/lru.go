package registry

import "sync"

// lru keeps what was used lately, up to a cost. The newest value stays even
// where it alone costs more. It is safe for concurrent use.
//
// A value that is found is only marked: it goes back to the front when it is the
// oldest. So a hit touches one node, not its neighbours in the ring too.
type lru[K, V comparable] struct {
	limit int64

	mu    sync.Mutex // guards what follows
	cost  int64
	nodes map[K]*node[K, V]
	ring  node[K, V] // next is the newest, prev the oldest
}

type node[K, V comparable] struct {
	prev, next *node[K, V]
	key        K
	value      V
	cost       int64
	used       bool // found since it came to the front
}

func newLRU[K, V comparable](limit int64) *lru[K, V] {
	c := &lru[K, V]{limit: limit, nodes: map[K]*node[K, V]{}}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

// get finds a value, and marks it as used.
func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[key]
	if n == nil {
		return value, false
	}
	if !n.used { // else the write would take the line from other processors
		n.used = true
	}
	return n.value, true
}

// peek is get for one who does not count as a user; the zero value where there
// is none.
func (c *lru[K, V]) peek(key K) (value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[key]; n != nil {
		value = n.value
	}
	return value
}

// put keeps a value in place of any other of its key.
func (c *lru[K, V]) put(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.nodes[key])
	c.add(key, value, cost)
}

// replace is put where the key's value is still old; it tells whether it was.
func (c *lru[K, V]) replace(key K, old, value V, cost int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[key]
	if n == nil || n.value != old {
		return false
	}
	key = n.key
	c.remove(n)
	c.add(key, value, cost)
	return true
}

// drop forgets a key.
func (c *lru[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.nodes[key])
}

func (c *lru[K, V]) add(key K, value V, cost int64) {
	n := &node[K, V]{key: key, value: value, cost: cost}
	c.nodes[key] = n
	c.first(n)
	c.cost += cost
	for c.cost > c.limit && len(c.nodes) > 1 {
		oldest := c.ring.prev
		if oldest != n && !oldest.used {
			c.remove(oldest)
			continue
		}
		oldest.used = false
		oldest.unlink()
		c.first(oldest)
	}
}

func (c *lru[K, V]) remove(n *node[K, V]) {
	if n == nil {
		return
	}
	n.unlink()
	delete(c.nodes, n.key)
	c.cost -= n.cost
}

func (c *lru[K, V]) first(n *node[K, V]) {
	n.prev, n.next = &c.ring, c.ring.next
	n.prev.next, n.next.prev = n, n
}

func (n *node[K, V]) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
}
