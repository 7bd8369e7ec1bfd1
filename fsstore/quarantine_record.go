package fsstore

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// record is what is kept of a blob that was lost, as JSON.
type record struct {
	Version int        `json:"version"`
	Digest  oci.Digest `json:"digest"`
	Size    int64      `json:"size"` // of the damaged file, bytes
	Reason  string     `json:"reason"`
	At      time.Time  `json:"at"`
	// Repositories are those that lost it and have not got it again.
	Repositories []oci.Repo `json:"repositories"`
}

const (
	recordVersion = 1
	recordSuffix  = ".json"
	maxRecord     = 16 << 20
)

func damagedDir(a oci.Algorithm) string { return quarantineDir + "/" + string(a) }

func damagedPath(d oci.Digest) string {
	return damagedDir(d.Algorithm()) + "/" + d.Encoded()
}

func recordPath(d oci.Digest) string { return damagedPath(d) + recordSuffix }

// parseRecord reads a record. One that means nothing names no repository.
func parseRecord(content []byte) (record, error) {
	var r record
	if err := json.Unmarshal(content, &r); err != nil {
		return record{}, fmt.Errorf("read a record of the quarantine: %w", err)
	}
	if r.Version != recordVersion {
		return record{}, fmt.Errorf("a record of the quarantine has version %d, known is %d", r.Version, recordVersion)
	}
	r.Repositories = slices.DeleteFunc(r.Repositories, func(repo oci.Repo) bool {
		_, err := oci.ParseRepo(string(repo))
		return err != nil
	})
	return r, nil
}

// loadRecord reads the record of a digest; an empty one where there is none, or
// none that can be read.
func (s *Store) loadRecord(d oci.Digest) (record, error) {
	content, _, err := durable.ReadFile(s.fs, recordPath(d), maxRecord)
	if durable.IsMissing(err) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(content)
	if err != nil {
		s.log.Warn("a record of the quarantine cannot be used", "digest", d, "error", err)
		return record{}, nil
	}
	return r, nil
}

// saveRecord writes a record durably, whatever is asked of other writes: it is
// what heals.
func (s *Store) saveRecord(d oci.Digest, r record) error {
	for _, dir := range []string{quarantineDir, damagedDir(d.Algorithm())} {
		if err := s.makeDirs(dir); err != nil {
			return err
		}
		if err := s.fs.SyncDir(path.Dir(dir)); err != nil {
			return err
		}
	}
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.space.withReserve(func() error {
		return durable.WriteFile(s.fs, s.tmpPath(), recordPath(d), content, true)
	})
}

// dropRecord ends a quarantine: unlink the damaged file, then the record.
func (s *Store) dropRecord(d oci.Digest) error {
	for _, name := range []string{damagedPath(d), recordPath(d)} {
		if err := s.fs.Remove(name); err != nil && !durable.IsMissing(err) {
			return err
		}
	}
	s.quarantine.remove(d)
	return nil
}

// loadQuarantine reads what lies in quarantine, which is nothing as a rule.
func (s *Store) loadQuarantine() {
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		err := s.fs.ReadDir(damagedDir(a), func(name string, _ durable.Kind) error {
			hex, isRecord := strings.CutSuffix(name, recordSuffix)
			d, err := oci.ParseDigest(string(a) + ":" + hex)
			if err != nil {
				return nil
			}
			s.quarantine.add(d)
			if isRecord {
				return nil
			}
			info, err := s.fs.Lstat(damagedPath(d))
			if err == nil && info.Kind == durable.Regular && info.Links > 1 {
				s.quarantine.condemn(info)
			}
			return err
		})
		if durable.IsMissing(err) {
			continue
		}
		if err != nil {
			s.log.Error("cannot read what lies in quarantine: it may be served", "algorithm", a, "error", err)
		}
	}
}
