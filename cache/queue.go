package cache

import "time"

// queue holds the notes that are not written yet. Its owner guards it.
type queue struct {
	waiting map[string][]change // by key
	writing map[string][]change // taken by Run
	length  int                 // changes waiting
	since   time.Time           // when the first of them came
	hurry   bool                // write without waiting for more

	lossy      bool // notes were dropped since the last rebuild began
	completing bool // with what waits, all that there is will have been noted
}

// add appends notes about a key; false when the queue is full.
func (q *queue) add(key string, changes []change) bool {
	if q.length+len(changes) > queueLimit {
		q.lossy = true
		return false
	}
	if q.length == 0 {
		q.since = time.Now()
		q.waiting = make(map[string][]change)
	}
	q.waiting[key] = append(q.waiting[key], changes...)
	q.length += len(changes)
	return true
}

// about returns the notes about a key, the oldest first.
func (q *queue) about(key string) []change {
	first, then := q.writing[key], q.waiting[key]
	return append(first[:len(first):len(first)], then...)
}

// take hands the waiting notes over to be written.
func (q *queue) take() map[string][]change {
	q.writing, q.waiting, q.length, q.hurry = q.waiting, nil, 0, false
	return q.writing
}

// drop forgets every note.
func (q *queue) drop() {
	if !q.empty() {
		q.lossy = true
	}
	q.waiting, q.writing, q.length, q.hurry = nil, nil, 0, false
}

func (q *queue) empty() bool { return q.length == 0 && len(q.writing) == 0 }

// due tells how long to wait before writing, 0 for now.
func (q *queue) due(group time.Duration) time.Duration {
	if q.hurry || q.completing || q.length > queueLimit/4 {
		return 0
	}
	return max(0, group-time.Since(q.since))
}
