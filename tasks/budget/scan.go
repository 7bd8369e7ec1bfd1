package budget

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"berth/oci"
	"berth/oci/budget"
	"berth/tasks"
)

// count goes through the store and counts what lies there.
func (j *Job) count(ctx context.Context, round *tasks.Round) ([]budget.State, error) {
	c := j.opts.Ledger.Begin()
	repos, blobs := int64(0), 0
	err := j.opts.Store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		if repos++; !j.opts.Ledger.Covers(repo) {
			return ctx.Err()
		}
		round.Progress(repos, 0, "repositories")
		if err := round.Step(ctx, 0); err != nil {
			return err
		}
		err := j.opts.Store.WalkBlobs(ctx, repo, func(d oci.Digest, info oci.BlobInfo) error {
			c.AddBlob(repo, d, info)
			if blobs++; blobs%stepBlobs == 0 {
				return round.Step(ctx, 0)
			}
			return nil
		})
		if errors.Is(err, oci.ErrNameUnknown) || errors.Is(err, oci.ErrUnavailable) {
			return nil // it went meanwhile
		}
		return err
	})
	if err == nil {
		err = j.opts.Store.WalkUploads(ctx, func(info oci.UploadInfo) error {
			c.AddUpload(info)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	return c.End(), nil
}

// stepBlobs is how many blobs are looked at between two steps.
const stepBlobs = 256

// scan makes a model of what one limit covers.
type scan struct {
	job   *Job
	round *tasks.Round
	rules Rules
	model *model
	seed  maphash.Seed

	// Of the repository that is looked into.
	repo  oci.Repo
	index *oci.Index
	done  map[oci.Digest]bool // what the present unit needs
	queue []oci.Descriptor    // manifests to look into
	needs []uint64
	size  int64
}

// scan looks at what a limit covers.
func (j *Job) scan(ctx context.Context, round *tasks.Round, covers func(oci.Repo) bool, rules Rules) (*model, error) {
	s := &scan{job: j, round: round, rules: rules, model: newModel(), seed: maphash.MakeSeed()}
	err := j.opts.Store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		if !covers(repo) {
			return ctx.Err()
		}
		err := s.repository(ctx, repo)
		if errors.Is(err, oci.ErrNameUnknown) || errors.Is(err, oci.ErrUnavailable) {
			return nil
		}
		return err
	})
	return s.model, err
}

// repository looks into one repository: each manifest that has tags is a unit,
// and so stays what another tool listed, as garbage collection has it.
func (s *scan) repository(ctx context.Context, repo oci.Repo) error {
	index, err := s.job.opts.Registry.Index(ctx, repo)
	if err != nil {
		return err
	}
	s.repo, s.index = repo, index
	tagged := map[oci.Digest]*unit{}
	for e := range index.Entries {
		if e.Digest == "" || e.Tag == "" || index.Tagged(e.Tag) != e || subjectOf(e) != "" {
			continue
		}
		u := tagged[e.Digest]
		if u == nil {
			u = &unit{repo: repo, digest: e.Digest}
			tagged[e.Digest] = u
		}
		u.tags = append(u.tags, e.Tag)
	}
	for e := range index.Entries {
		if e.Digest == "" {
			continue
		}
		u := tagged[e.Digest]
		if u == nil && e.Vetted {
			continue // it goes, or stays with what names it
		}
		delete(tagged, e.Digest)
		if err := s.look(ctx, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest}); err != nil {
			return err
		}
		if u != nil && e.Vetted && s.mayGo(u) {
			if err := s.offer(ctx, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayGo tells whether the rules let all tags of a unit go.
func (s *scan) mayGo(u *unit) bool {
	for _, t := range u.tags {
		if s.rules.Pinned(u.repo, t) || !s.rules.Pushed && !s.job.opts.Usage.IsMirrored(u.repo, t, u.digest) {
			return false
		}
	}
	return true
}

// offer adds a unit to what may go.
func (s *scan) offer(ctx context.Context, u *unit) error {
	for _, t := range u.tags {
		times := s.job.opts.Usage.Times(u.repo, t, u.digest)
		u.times = append(u.times, times)
		for _, at := range []time.Time{times.Pushed, times.Pulled} {
			if at.After(u.used) {
				u.used = at
			}
		}
	}
	if u.used.IsZero() {
		info, err := s.job.opts.Store.StatBlob(ctx, u.repo, u.digest)
		if err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
		u.used = info.Modified
	}
	u.size, u.needs = s.size, append([]uint64(nil), s.needs...)
	s.model.add(*u)
	return nil
}

// look finds what a manifest needs: what it names, what that names, and what
// refers to it.
func (s *scan) look(ctx context.Context, d oci.Descriptor) error {
	s.done, s.needs, s.size = map[oci.Digest]bool{}, s.needs[:0], 0
	s.queue = append(s.queue[:0], d)
	for len(s.queue) > 0 {
		d := s.queue[len(s.queue)-1]
		s.queue = s.queue[:len(s.queue)-1]
		fresh, err := s.need(ctx, d.Digest)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		m, read, err := s.read(ctx, d)
		if err != nil {
			return err
		}
		if err := s.round.Step(ctx, read); err != nil {
			return err
		}
		for _, e := range s.index.Referrers(d.Digest) {
			s.queue = append(s.queue, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
		}
		if e := s.index.Tagged(oci.Tag(strings.Replace(string(d.Digest), ":", "-", 1))); e != nil {
			s.queue = append(s.queue, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
		}
		if m == nil {
			continue
		}
		s.queue = append(s.queue, m.Manifests...)
		for _, blob := range append(m.Layers, m.Config) {
			if _, err := s.need(ctx, blob.Digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// need notes a blob that the present unit needs; fresh tells that it is there,
// and was not noted for the unit before.
func (s *scan) need(ctx context.Context, d oci.Digest) (fresh bool, err error) {
	if _, err := oci.ParseDigest(string(d)); err != nil || s.done[d] {
		return false, nil
	}
	s.done[d] = true
	info, err := s.job.opts.Store.StatBlob(ctx, s.repo, d)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	key := info.Copy
	if key == 0 {
		key = maphash.String(s.seed, string(d))
	}
	s.model.hold(key, info.Size)
	s.needs = append(s.needs, key)
	s.size += info.Size
	return true, nil
}

// largestManifest bounds what is read of a manifest, in bytes.
const largestManifest = 16 << 20

// read reads a manifest; nil where it is none that names anything.
func (s *scan) read(ctx context.Context, d oci.Descriptor) (m *oci.Manifest, read int64, err error) {
	if d.MediaType != "" && !oci.IsManifestType(d.MediaType) {
		return nil, 0, nil
	}
	blob, err := s.job.opts.Store.OpenBlob(ctx, s.repo, d.Digest, 0)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer blob.Close()
	if blob.Info().Size > largestManifest {
		return nil, 0, nil
	}
	content, err := io.ReadAll(io.LimitReader(blob, largestManifest))
	if err != nil {
		return nil, 0, err
	}
	m, err = oci.InspectManifest(content, d.MediaType)
	if err != nil {
		return nil, int64(len(content)), nil
	}
	return m, int64(len(content)), nil
}

// subjectOf is the subject whose referrers an entry lists under the tag that
// clients use where a registry has no referrers (distribution-spec, Referrers Tag
// Schema); "" where it is none. Such an entry stays and goes with the subject.
func subjectOf(e *oci.Entry) oci.Digest {
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
