package scrub

import (
	"encoding/json"
	"fmt"
	"time"

	"berth/oci"
)

// Report is what a round found. It is kept as JSON; docs/FORMAT.md has the
// form.
type Report struct {
	Version      int       `json:"version"`
	Round        string    `json:"round"` // tells rounds apart
	Began        time.Time `json:"began"`
	Ended        time.Time `json:"ended,omitzero"`
	Resumed      int       `json:"resumed,omitempty"` // how often it was interrupted
	Repositories int64     `json:"repositories"`      // that were looked at
	Manifests    int64     `json:"manifests"`         // that were read and understood
	Blobs        int64     `json:"blobs"`             // that were read, manifests among them
	Bytes        int64     `json:"bytes"`             // that were read
	Affected     int64     `json:"affected"`          // problems that are not healed
	Healed       int64     `json:"healed"`            // and those that are
	// Transient is how many blobs were read wrong once, and right then.
	Transient int64     `json:"transient,omitempty"`
	Problems  []Problem `json:"problems,omitempty"`
	// Omitted is how many problems were too many to be listed.
	Omitted int64 `json:"omitted,omitempty"`
}

// Problem is something in a repository that is damaged.
type Problem struct {
	Repository oci.Repo   `json:"repository"`
	Blob       oci.Digest `json:"blob,omitempty"` // "": the repository as a whole
	Kind       Kind       `json:"kind"`
	Error      string     `json:"error"`
	Outcome    Outcome    `json:"outcome,omitempty"`
	// Entries are the entries of the index that cannot be pulled whole.
	Entries []oci.Digest `json:"entries,omitempty"`
}

// Kind is a kind of damage.
type Kind string

// The kinds of damage.
const (
	KindRot        Kind = "rot"        // the content is not what the digest says
	KindUnreadable Kind = "unreadable" // the medium does not give it
	KindMissing    Kind = "missing"    // it is not there and has to be
	KindSize       Kind = "size"       // it is right, and a descriptor tells another size
	KindInvalid    Kind = "invalid"    // it is right, and is no manifest where it has to be one
	KindIndex      Kind = "index"      // the repository's index.json
	KindLayout     Kind = "layout"     // the repository's oci-layout, or index.json is not there
)

// Outcome is what was done about damage; "" for nothing.
type Outcome string

// The outcomes.
const (
	OutcomeQuarantined Outcome = "quarantined" // it is not served until it is pushed again
	OutcomeHealed      Outcome = "healed"      // another copy took its place
)

const (
	reportVersion = 1
	// mostProblems and mostEntries bound a report.
	mostProblems = 1000
	mostEntries  = 10000
)

func (r *Report) add(p Problem) {
	if p.Outcome == OutcomeHealed {
		r.Healed++
	} else {
		r.Affected++
	}
	entries := 0
	for _, other := range r.Problems {
		entries += len(other.Entries)
	}
	if len(r.Problems) >= mostProblems {
		r.Omitted++
		return
	}
	p.Entries = p.Entries[:min(len(p.Entries), max(mostEntries-entries, 0))]
	r.Problems = append(r.Problems, p)
}

// Summary says in one line what came of a round.
func (r *Report) Summary() string {
	s := fmt.Sprintf("%d repositories, %d manifests, %d blobs, %d bytes read: ", r.Repositories, r.Manifests, r.Blobs, r.Bytes)
	if r.Affected == 0 {
		s += "nothing is damaged"
	} else {
		s += fmt.Sprintf("%d damaged", r.Affected)
	}
	if r.Healed > 0 {
		s += fmt.Sprintf(", %d healed", r.Healed)
	}
	return s
}

const (
	reportNote = "scrub/report.json"
	// reportsKept is how many reports are kept beside the last one.
	reportsKept = 4
	maxReport   = 16 << 20
)

// reportName is where the report of so many rounds ago is.
func reportName(ago int) string {
	if ago == 0 {
		return reportNote
	}
	return fmt.Sprintf("scrub/report.%d.json", ago)
}

// saveReport keeps a report, and those before it for a while.
func (j *job) saveReport() error {
	for ago := reportsKept; ago > 0; ago-- {
		old, err := j.notes.LoadNote(reportName(ago-1), maxReport)
		if err != nil {
			return err
		}
		if len(old) == 0 {
			continue
		}
		if err := j.notes.SaveNote(reportName(ago), old, false); err != nil {
			return err
		}
	}
	content, err := json.MarshalIndent(j.report, "", " ")
	if err != nil {
		return err
	}
	return j.notes.SaveNote(reportNote, append(content, '\n'), true)
}
