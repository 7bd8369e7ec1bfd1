package dedupe

import (
	"encoding/json"
	"fmt"
	"time"

	"berth/oci"
)

// progress is what is kept across restarts. One that cannot be read is as good
// as none: a walk costs a look at each blob.
type progress struct {
	Version int `json:"version"`
	// Since: what did not change after this was compared by a walk that ended.
	Since time.Time `json:"since,omitzero"`
	// Began is when the walk over everything began that has not ended yet.
	Began time.Time `json:"began,omitzero"`
	// From is where the digests begin that it still has to look at, and After
	// the last repository in which it has.
	From  uint64   `json:"from,omitempty"`
	After oci.Repo `json:"after,omitempty"`
}

const progressVersion = 1

func load(store oci.Copies) (progress, error) {
	content, err := store.LoadProgress()
	if err != nil {
		return progress{}, err
	}
	return parse(content), nil
}

func parse(content []byte) progress {
	var p progress
	if json.Unmarshal(content, &p) != nil || p.Version != progressVersion {
		return progress{Version: progressVersion}
	}
	return p
}

func (j *job) saveIfDue() error {
	if waited := j.now().Sub(j.saved); waited >= 0 && waited < saveEvery {
		return nil
	}
	return j.save()
}

func (j *job) save() error {
	content, err := json.Marshal(j.progress)
	if err == nil {
		err = j.store.SaveProgress(content)
	}
	if err != nil {
		return fmt.Errorf("keep the progress of dedupe: %w", err)
	}
	j.saved = j.now()
	return nil
}
