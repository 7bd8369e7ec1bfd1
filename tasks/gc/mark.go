package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"berth/oci"
	"berth/tasks"
)

// errOpaque: it cannot be told what something in the repository needs.
var errOpaque = errors.New("it cannot be told what is needed")

const (
	// largestManifest bounds what is read of a manifest, in bytes: nothing
	// larger is served.
	largestManifest = 16 << 20
	// largestUnknown is that of content that is no manifest by its media type.
	largestUnknown = 4 << 20
	// mostOthers bounds how many names of manifests are remembered that the
	// repository had no blob for.
	mostOthers = 100_000
)

// marker finds what is reachable in a repository. What was found once stays so,
// also when the index changes.
type marker struct {
	c     *Collector
	repo  oci.Repo // as the store calls it
	round *tasks.Round
	// keepUntagged and keepReferrers are Options.Keep's for the repository.
	keepUntagged, keepReferrers bool
	shared                      bool
	orphans                     orphans // that were seen, where shared

	blobs  table
	index  *oci.Index
	others map[oci.Digest]bool // looked into, or for, and not in blobs
	queue  []oci.Descriptor    // to be looked into
	// missing is what was not there, and is looked for again whenever the index
	// has changed.
	missing []oci.Descriptor
	// spared: something that nothing needs is kept since it is young, or a
	// client was told of it. It may go later.
	spared bool
	buffer bytes.Buffer
}

// mark finds what is reachable from an index, beside what was found before.
func (m *marker) mark(ctx context.Context, index *oci.Index) error {
	m.index = index
	m.queue, m.missing = append(m.queue, m.missing...), nil
	for e := range index.All {
		if e.Digest == "" {
			return fmt.Errorf("%w: an entry of the index has no digest that can be verified", errOpaque)
		}
		if b := m.blobs.find(e.Digest); b != nil {
			b.entry = m.shared
		}
		if m.seen(e.Digest) {
			continue
		}
		root, err := m.isRoot(ctx, e)
		if err != nil {
			return err
		}
		if root {
			m.visit(e.MediaType, e.Digest)
		}
	}
	return m.drain(ctx)
}

// seen tells whether something was found to be reachable, and to be a manifest.
func (m *marker) seen(d oci.Digest) bool {
	if b := m.blobs.find(d); b != nil {
		return b.read
	}
	return m.others[d]
}

// isRoot tells whether an entry needs nothing else to stay: it has a tag, was
// made by another tool, is not served, is young, or is to be kept without a tag. Others stay
// when something that stays names them, or is their subject.
func (m *marker) isRoot(ctx context.Context, e *oci.Entry) (bool, error) {
	subject := fallbackOf(e)
	switch {
	case e.Tag != "" && subject == "", !e.Vetted, m.index.Named(e.Digest) == nil:
		return true, nil
	case subject == "":
		subject = e.Subject
	}
	if subject == "" && m.keepUntagged || subject != "" && (m.keepReferrers || m.seen(subject)) {
		return true, nil
	}
	old := false
	if b := m.blobs.find(e.Digest); b != nil {
		old = b.old
	} else {
		_, err := m.c.opts.Store.StatBlob(ctx, m.repo, e.Digest)
		if old = errors.Is(err, oci.ErrBlobUnknown); !old && err != nil {
			return false, err
		}
	}
	young := !m.orphaned(e.Digest) || !old || m.c.told(m.repo, string(e.Digest))
	m.spared = m.spared || young
	return young, nil
}

// fallbackOf is the subject whose referrers an entry lists under the tag that
// clients use where a registry has no referrers (distribution-spec, Referrers
// Tag Schema); "" where it is none.
func fallbackOf(e *oci.Entry) oci.Digest {
	algorithm, encoded, found := strings.Cut(string(e.Tag), "-")
	if !found || !oci.IsIndexType(e.MediaType) {
		return ""
	}
	d, err := oci.ParseDigest(algorithm + ":" + encoded)
	if err != nil {
		return ""
	}
	return d
}

// visit notes that something is reachable, and has it looked into.
func (m *marker) visit(mediaType string, d oci.Digest) {
	if m.seen(d) {
		return
	}
	if b := m.blobs.find(d); b != nil {
		b.used, b.read = true, true
	} else {
		m.others[d] = true
	}
	m.queue = append(m.queue, oci.Descriptor{MediaType: mediaType, Digest: d})
}

// drain looks into all that is to be looked into.
func (m *marker) drain(ctx context.Context) error {
	for len(m.queue) > 0 {
		d := m.queue[len(m.queue)-1]
		m.queue = m.queue[:len(m.queue)-1]
		if len(m.others) > mostOthers {
			return fmt.Errorf("%w: its manifests name too many others that are not there", errOpaque)
		}
		for _, e := range m.index.Referrers(d.Digest) {
			m.visit(e.MediaType, e.Digest)
		}
		if e := m.index.Tagged(oci.Tag(strings.Replace(string(d.Digest), ":", "-", 1))); e != nil {
			m.visit(e.MediaType, e.Digest)
		}
		if err := m.look(ctx, d); err != nil {
			return err
		}
		if err := m.round.Step(ctx, int64(m.buffer.Len())); err != nil {
			return err
		}
	}
	return nil
}

// look finds what a manifest names. What is not there names nothing; neither
// does content of another media type that is no JSON object.
func (m *marker) look(ctx context.Context, d oci.Descriptor) error {
	manifest := oci.IsManifestType(d.MediaType)
	there, err := m.read(ctx, d.Digest, manifest)
	if err == nil && !there {
		m.missing = append(m.missing, d)
	}
	if err != nil || !there {
		return err
	}
	var opaque oci.Digest
	err = oci.References(m.buffer.Bytes(), func(named oci.Descriptor, child bool) {
		if b := m.blobs.find(named.Digest); b != nil {
			b.used = true
		}
		if !child {
			return
		}
		if _, err := oci.ParseDigest(string(named.Digest)); errors.Is(err, oci.ErrDigestUnsupported) {
			opaque = named.Digest
		} else if err == nil {
			m.visit(named.MediaType, oci.Digest(strings.Clone(string(named.Digest))))
		}
	})
	switch {
	case err != nil && manifest:
		return fmt.Errorf("%w: %s: %w", errOpaque, d.Digest, err)
	case opaque != "":
		return fmt.Errorf("%w: %s names %s, whose digest cannot be verified", errOpaque, d.Digest, opaque)
	}
	return nil
}

// read reads a manifest into the buffer. One that may be, but need not be, is
// not there where it is too large.
func (m *marker) read(ctx context.Context, d oci.Digest, manifest bool) (there bool, err error) {
	if m.buffer.Reset(); m.buffer.Cap() > 1<<20 {
		m.buffer = bytes.Buffer{}
	}
	content, err := m.c.opts.Store.OpenBlob(ctx, m.repo, d, 0)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer content.Close()
	size := content.Info().Size
	switch {
	case !manifest && size > largestUnknown:
		return false, nil
	case size > largestManifest:
		return false, fmt.Errorf("%w: manifest %s has %d bytes", errOpaque, d, size)
	}
	if _, err := m.buffer.ReadFrom(io.LimitReader(content, largestManifest)); err != nil {
		return false, err
	}
	if d.Algorithm().FromBytes(m.buffer.Bytes()) != d {
		return false, fmt.Errorf("%w: %s does not match its digest", errOpaque, d)
	}
	return true, nil
}

// unheld are the manifests of the index that nothing holds any more.
func (m *marker) unheld() []oci.Digest {
	known := map[oci.Digest]bool{}
	var all []oci.Digest
	for e := range m.index.Entries {
		if !m.seen(e.Digest) && !known[e.Digest] {
			known[e.Digest] = true
			all = append(all, e.Digest)
		}
	}
	return all
}
