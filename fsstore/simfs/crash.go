package simfs

import "math/rand/v2"

// Loss is what a power cut does to what was not synced.
type Loss int

// The kinds of loss.
const (
	// Nothing is lost, as when only the process is killed.
	Nothing Loss = iota
	// Everything that was not synced is lost.
	Everything
	// Data: all names survive, the content of unsynced files is zeros.
	Data
	// Short: all names survive, unsynced files end where they were synced.
	Short
	// Some: each change of a directory survives or does not, each file has
	// its old content, its new, a part of that, or zeros; chance decides.
	Some
)

func (l Loss) String() string {
	return [...]string{"nothing lost", "everything lost", "data lost", "files cut", "some lost"}[l]
}

// Losses has all kinds.
var Losses = [...]Loss{Nothing, Everything, Data, Short, Some}

// Crash is the file system as it is found after a power cut now. The old one
// answers ErrPowerCut from here on.
func (f *FS) Crash(loss Loss, seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.cut = true
	c := crash{loss: loss, rng: rand.New(rand.NewPCG(seed, 1)), made: make(map[*node]*node)}
	found := &FS{now: f.now, capacity: f.capacity, sequence: f.sequence, inodes: f.inodes, fat: f.fat}
	c.names(f.pending)
	found.root = c.copy(f.root)
	for _, n := range c.made {
		found.used += int64(len(n.data))
	}
	return found
}

// Continue is the file system as another process finds it after one was
// killed: all is there, and what was not synced may still get lost. The old
// one answers ErrPowerCut from here on.
func (f *FS) Continue() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.cut = true
	return &FS{
		now: f.now, root: f.root, pending: f.pending, sequence: f.sequence,
		inodes: f.inodes, capacity: f.capacity, used: f.used, fat: f.fat,
	}
}

type crash struct {
	loss Loss
	rng  *rand.Rand
	made map[*node]*node
	kept []change // of those that were pending
}

// names decides which changes of directories survive.
func (c *crash) names(pending []change) {
	for _, one := range pending {
		if c.loss != Everything && (c.loss != Some || c.rng.IntN(2) == 0) {
			c.kept = append(c.kept, one)
		}
	}
}

// copy makes the node that survives; all it holds is durable.
func (c *crash) copy(old *node) *node {
	if n := c.made[old]; n != nil {
		return n
	}
	n := &node{inode: old.inode, directory: old.directory, modified: old.modified, changed: old.changed}
	c.made[old] = n
	if !old.directory {
		n.data = c.content(old)
		n.synced, n.settled = n.data, n.modified
		return n
	}
	n.links = 1
	n.entries, n.durable = make(map[string]*node), make(map[string]persisted)
	for name, child := range c.entries(old) {
		made := c.copy(child)
		if !made.directory {
			made.links++
		}
		n.entries[name] = made
		n.durable[name] = persisted{node: made}
	}
	return n
}

// entries are a directory's durable ones, with the changes that survive.
func (c *crash) entries(dir *node) map[string]*node {
	now := make(map[string]persisted, len(dir.durable))
	for name, p := range dir.durable {
		now[name] = p
	}
	set := func(in *node, name string, p persisted) {
		if in == dir && now[name].sequence < p.sequence {
			now[name] = p
		}
	}
	for _, one := range c.kept {
		set(one.from, one.fromName, persisted{nil, one.sequence})
		set(one.to, one.toName, persisted{one.node, one.sequence})
	}
	entries := make(map[string]*node)
	for name, p := range now {
		if p.node != nil {
			entries[name] = p.node
		}
	}
	return entries
}

// content is what survives of a file's.
func (c *crash) content(n *node) []byte {
	if string(n.data) == string(n.synced) || c.loss == Nothing {
		return clone(n.data)
	}
	zeros := make([]byte, len(n.data))
	copy(zeros, n.synced)
	switch c.loss {
	case Data:
		return zeros
	case Some:
		switch c.rng.IntN(4) {
		case 0:
			return clone(n.data)
		case 1:
			return zeros
		case 2: // a part of it
			part := min(c.rng.IntN(len(n.data)+1), len(n.data))
			copy(zeros, n.data[:part])
			return zeros
		}
	}
	return clone(n.synced)
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }
