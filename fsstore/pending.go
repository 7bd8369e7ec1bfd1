package fsstore

import (
	"sync"
	"sync/atomic"

	"berth/oci"
)

// blobKey names a blob of a repository.
type blobKey struct {
	repo   oci.Repo
	digest oci.Digest
}

// pending has the blobs that are being published: they may be visible and not
// yet durable. Who asks for one meanwhile waits, so that nothing is built on
// it that would outlive it.
type pending struct {
	count atomic.Int32 // of keys, for a quick look

	mu   sync.Mutex // guards keys and doubtful
	keys map[blobKey]chan struct{}
	// doubtful has blobs that are visible and could neither be made durable
	// nor removed.
	doubtful map[blobKey]struct{}
}

// enter waits until nobody else publishes the blob, and then claims it.
func (p *pending) enter(key blobKey) {
	for {
		p.mu.Lock()
		other, busy := p.keys[key]
		if !busy {
			if p.keys == nil {
				p.keys = make(map[blobKey]chan struct{})
			}
			p.keys[key] = make(chan struct{})
			p.count.Add(1)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		<-other
	}
}

func (p *pending) leave(key blobKey) {
	p.mu.Lock()
	close(p.keys[key])
	delete(p.keys, key)
	p.count.Add(-1)
	p.mu.Unlock()
}

// wait returns when the blob is not being published, and tells whether it is
// doubtful.
func (p *pending) wait(key blobKey) (doubtful bool) {
	for p.count.Load() > 0 {
		p.mu.Lock()
		other, busy := p.keys[key]
		_, doubtful = p.doubtful[key]
		p.mu.Unlock()
		if !busy {
			return doubtful
		}
		<-other
	}
	return false
}

func (p *pending) doubt(key blobKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doubtful == nil {
		p.doubtful = make(map[blobKey]struct{})
	}
	if _, known := p.doubtful[key]; !known {
		p.doubtful[key] = struct{}{}
		p.count.Add(1)
	}
}

func (p *pending) trust(key blobKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.doubtful[key]; known {
		delete(p.doubtful, key)
		p.count.Add(-1)
	}
}
