package scrub

import (
	"crypto/rand"
	"encoding/json"
	"time"

	"berth/oci"
)

// progress is how far a round has come, as JSON; docs/FORMAT.md has the form.
type progress struct {
	Version int      `json:"version"`
	After   oci.Repo `json:"after,omitempty"` // the last repository that is done
	// Secret makes the keys; Shared and Here are those of copies that were
	// read, eight bytes each.
	Secret []byte `json:"secret,omitempty"`
	Shared []byte `json:"shared,omitempty"`
	Here   []byte `json:"here,omitempty"`
	Report Report `json:"report,omitzero"`
}

const (
	progressVersion = 1
	progressNote    = "scrub/progress.json"
	maxProgress     = 64 << 20
	// oldest is how old a round may be that is gone on with.
	oldest = 30 * 24 * time.Hour
)

// parseProgress reads a progress; false where it means nothing, or there is no
// round to go on with.
func parseProgress(content []byte) (progress, bool) {
	var p progress
	err := json.Unmarshal(content, &p)
	ok := err == nil && p.Version == progressVersion && p.Report.Round != "" &&
		len(p.Secret) == secretSize && p.Report.Version == reportVersion
	if _, bad := oci.ParseRepo(string(p.After)); bad != nil && p.After != "" {
		ok = false
	}
	return p, ok
}

// begin begins a round, or goes on with one that was interrupted.
func (j *job) begin() {
	j.saved = j.started
	j.keys = newKeys(j.opts.Keys)
	j.report = Report{Version: reportVersion, Round: rand.Text()[:12], Began: j.started.UTC().Truncate(time.Second)}
	if j.notes == nil {
		return
	}
	if last, err := j.notes.LoadNote(reportNote, maxReport); err == nil {
		var report Report
		if json.Unmarshal(last, &report) == nil {
			j.expected = report.Bytes
		}
	}
	content, err := j.notes.LoadNote(progressNote, maxProgress)
	if err != nil {
		j.opts.Log.Warn("the progress of the scrub cannot be read: it begins anew", "error", err)
		return
	}
	p, ok := parseProgress(content)
	if !ok || j.started.Sub(p.Report.Began) > oldest {
		return
	}
	j.after, j.report = p.After, p.Report
	j.report.Resumed++
	j.keys.secret = p.Secret
	j.keys.shared, j.keys.here = unpack(p.Shared, j.opts.Keys), unpack(p.Here, j.opts.Keys)
}

// Due is how long it is until the next round of a store that has to come so
// long after the end of the last one: 0 where one was interrupted, or none is
// known. It may be more than every, where the clock was set back.
func Due(store Store, every time.Duration, now time.Time) time.Duration {
	notes, ok := store.(oci.NoteKeeper)
	if !ok {
		return 0
	}
	if content, err := notes.LoadNote(progressNote, maxProgress); err == nil {
		if _, interrupted := parseProgress(content); interrupted {
			return 0
		}
	}
	var last struct {
		Ended time.Time `json:"ended"`
	}
	content, err := notes.LoadNote(reportNote, maxReport)
	if err != nil || json.Unmarshal(content, &last) != nil || last.Ended.IsZero() {
		return 0
	}
	return max(0, every-now.Sub(last.Ended))
}

// saveIfDue keeps the progress from time to time: seldom, for the sake of flash
// memory.
func (j *job) saveIfDue() {
	waited := j.opts.Now().Sub(j.saved)
	if j.unsaved > 0 && (waited >= j.opts.SaveEvery || waited < 0 || j.unsaved >= j.opts.SaveBytes) {
		j.save()
	}
}

// save keeps the progress, if there is any.
func (j *job) save() {
	if j.notes == nil || j.unsaved == 0 {
		return
	}
	j.saved, j.unsaved = j.opts.Now(), 0
	content, err := json.Marshal(progress{
		Version: progressVersion, After: j.after, Secret: j.keys.secret,
		Shared: pack(j.keys.shared), Here: pack(j.keys.here), Report: j.report,
	})
	if err == nil {
		err = j.notes.SaveNote(progressNote, content, true)
	}
	if err != nil {
		j.opts.Log.Warn("the progress of the scrub cannot be kept: after a restart it goes on further back", "error", err)
	}
}

// end ends a round that has come to its end.
func (j *job) end() {
	j.report.Ended = j.opts.Now().UTC().Truncate(time.Second)
	j.round.Say(j.report.Summary())
	j.opts.Log.Info("scrub ended", "repositories", j.report.Repositories, "manifests", j.report.Manifests,
		"blobs", j.report.Blobs, "bytes", j.report.Bytes, "affected", j.report.Affected, "healed", j.report.Healed)
	if j.notes == nil {
		return
	}
	err := j.saveReport()
	if err == nil {
		err = j.notes.SaveNote(progressNote, []byte(`{"version":1}`), true)
	}
	if err != nil {
		j.opts.Log.Warn("the report of the scrub cannot be kept", "error", err)
	}
}
