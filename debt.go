package main

import (
	"context"
	"encoding/json"
	"time"

	"berth/oci"
	"berth/tasks/gc"
)

// debt is what a root needs done in the background before a process that leaves
// when it is idle may do so: otherwise none would ever do it, since nothing is
// collected, for one thing, before gcDelay has passed since a start. A note in
// the root tells the next process. Its methods are for one goroutine, but for
// collected.
type debt struct {
	root  *openRoot
	notes oci.NoteKeeper // nil: nothing is kept, as in a bucket, where others may collect
	noted bool           // what the note says
	since time.Time      // when the note began to say that something is owed
	began bool           // the note was read
	tried uint64         // of writes+1: for them a last round was asked for
}

// bearable is for how long garbage may be owed before a process stays for it that
// would have to wait for longer than idleExit.
const bearable = 24 * time.Hour

// debtNote says whether garbage is owed, as JSON; docs/FORMAT.md has the form.
const debtNote = "gc.json"

type debtRecord struct {
	Version int       `json:"version"`
	Owed    bool      `json:"owed"`
	Since   time.Time `json:"since,omitzero"`
}

// read takes over what the process before left. Without a note nothing is owed:
// what lies there is collected after the next write.
func (d *debt) read() {
	if d.began {
		return
	}
	d.began = true
	if d.root.store.ReadOnly() {
		return
	}
	if !d.root.config.StorageDriver.IsSet() {
		d.notes, _ = d.root.store.(oci.NoteKeeper)
	}
	var r debtRecord
	if d.notes != nil {
		if content, err := d.notes.LoadNote(debtNote, 1<<10); err == nil && json.Unmarshal(content, &r) == nil {
			d.noted, d.since = r.Version == 1 && r.Owed, r.Since
		}
	}
	if !d.noted {
		d.root.clean.CompareAndSwap(0, 1) // as it was before the first write
	}
}

// garbage tells whether something was written, and not all that came of it was
// collected since.
func (d *debt) garbage() bool {
	o := d.root
	return o.config.GC && !o.store.ReadOnly() && o.clean.Load() != o.upkeep.registry.Writes()+1
}

// keep has the note say what is owed, and for a power cut says it early: it is
// called now and then.
func (d *debt) keep(now time.Time) error {
	owed := d.garbage()
	if d.notes == nil || owed == d.noted {
		return nil
	}
	d.since = time.Time{}
	if owed {
		d.since = now.UTC().Truncate(time.Second)
	}
	content, err := json.Marshal(debtRecord{Version: 1, Owed: owed, Since: d.since})
	if err == nil {
		err = d.notes.SaveNote(debtNote, content, true)
	}
	if err == nil {
		d.noted = owed
	}
	return err
}

// presses tells whether the process is to stay for garbage: where it is soon
// collected, or has been owed for long, by a clock that may have been set.
func (d *debt) presses(i idleness) bool {
	if !d.garbage() {
		return false
	}
	old := d.noted && (i.now.Before(d.since) || i.now.Sub(d.since) >= bearable)
	return old || d.root.config.GCDelay <= i.limit
}

// settle has the garbage collected at once, when nothing is left to wait for:
// since nobody has been connected for twice the delay, nothing is young and
// nothing that clients were told counts any more. What such a round leaves, as
// it has a time in the future, say, waits for the next write.
func (d *debt) settle(ctx context.Context, quiet time.Duration) {
	o := d.root
	writes := o.upkeep.registry.Writes()
	if quiet < 2*o.config.GCDelay+time.Second || d.tried == writes+1 {
		return
	}
	d.tried = writes + 1
	go func() {
		if _, err := o.upkeep.Trigger(ctx, o.jobName(jobGC), nil); err == nil {
			o.clean.Store(writes + 1)
		}
	}()
}

// collected notes that all was collected which had been written when a round
// began, if that is so.
func (o *openRoot) collected(writes uint64, report gc.Report) {
	if !report.Early && report.Later == 0 {
		o.clean.Store(writes + 1)
	}
}

// idleness is how long nobody has been connected, and after how long a process
// leaves.
type idleness struct {
	now          time.Time
	quiet, limit time.Duration
}

// owing tells whether there is work that the process should stay for, though
// nobody has been connected for a while.
func (u *upkeep) owing(ctx context.Context, i idleness) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	owed := false
	for _, o := range u.roots {
		if o.debt.presses(i) {
			owed = true
			o.debt.settle(ctx, i.quiet)
		}
		// A window that is closed is not waited for.
		owed = owed || o.scrubDue.Load() && u.WindowOpen()
	}
	return owed
}

// keepDebts has the notes of all roots say what is owed.
func (u *upkeep) keepDebts(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.roots {
		o.debt.read()
		if err := o.debt.keep(now); err != nil {
			o.log.Debug("what the next process is to collect cannot be kept", "root", whereIs(o.config), "error", err)
		}
	}
}
