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
	began bool           // the note was read
	tried uint64         // of writes+1: for them a last round was asked for
}

// debtNote says whether garbage is owed, as JSON; docs/FORMAT.md has the form.
const debtNote = "gc.json"

type debtRecord struct {
	Version int  `json:"version"`
	Owed    bool `json:"owed"`
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
			d.noted = r.Version == 1 && r.Owed
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
func (d *debt) keep() error {
	owed := d.garbage()
	if d.notes == nil || owed == d.noted {
		return nil
	}
	content, err := json.Marshal(debtRecord{Version: 1, Owed: owed})
	if err == nil {
		err = d.notes.SaveNote(debtNote, content, true)
	}
	if err == nil {
		d.noted = owed
	}
	return err
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

// owing tells whether there is work that the process should stay for, though
// nobody has been connected for a while.
func (u *upkeep) owing(ctx context.Context, quiet time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	owed := false
	for _, o := range u.roots {
		if o.debt.garbage() {
			owed = true
			o.debt.settle(ctx, quiet)
		}
		// A window that is closed is not waited for.
		owed = owed || o.scrubDue.Load() && u.WindowOpen()
	}
	return owed
}

// keepDebts has the notes of all roots say what is owed.
func (u *upkeep) keepDebts() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.roots {
		o.debt.read()
		if err := o.debt.keep(); err != nil {
			o.log.Debug("what the next process is to collect cannot be kept", "root", whereIs(o.config), "error", err)
		}
	}
}
