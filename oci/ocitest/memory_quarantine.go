package ocitest

import (
	"context"
	"maps"
	"slices"

	"berth/oci"
)

var _ oci.Quarantiner = (*Memory)(nil)

// lost is what is known of a digest that repositories lost.
type lost struct {
	reason string
	repos  map[oci.Repo]bool
}

// QuarantineBlob implements oci.Quarantiner. The blob is gone for good.
func (m *Memory) QuarantineBlob(ctx context.Context, repo oci.Repo, d oci.Digest, reason string) (oci.Quarantined, error) {
	b, err := m.blob(repo, d)
	if err != nil {
		return oci.Quarantined{}, err
	}
	if d.Algorithm().FromBytes(b.content) == d {
		return oci.Quarantined{Sound: true}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lost[d]
	if l == nil {
		l = &lost{repos: map[oci.Repo]bool{}}
		m.lost[d] = l
	}
	l.reason = reason
	var out oci.Quarantined
	var sound *blob
	for _, name := range slices.Sorted(maps.Keys(m.repos)) {
		other, holds := m.repos[name].blobs[d]
		switch {
		case !holds:
		case other.shared == b.shared:
			b.shared.links.Add(-1)
			delete(m.repos[name].blobs, d)
			l.repos[name] = true
			out.Repos = append(out.Repos, name)
		case d.Algorithm().FromBytes(other.content) == d:
			sound = &other
		}
	}
	if sound != nil {
		m.heal(d, *sound)
		out.Healed = out.Repos
	}
	return out, nil
}

// heal gives a blob that has arrived to the repositories that lost it; m.mu is
// held.
func (m *Memory) heal(d oci.Digest, b blob) {
	l := m.lost[d]
	if l == nil || d.Algorithm().FromBytes(b.content) != d {
		return
	}
	delete(m.lost, d)
	for repo := range l.repos {
		m.add(repo, d, b)
	}
}

// QuarantineReason implements oci.Quarantiner.
func (m *Memory) QuarantineReason(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lost[d]; l != nil && l.repos[repo] {
		return l.reason, nil
	}
	return "", nil
}
