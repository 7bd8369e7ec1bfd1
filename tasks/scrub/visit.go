package scrub

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/oci"
	"berth/oci/registry"
)

// visit checks one repository as one state of its index leads through it.
type visit struct {
	*job
	repo      oci.Repo
	taken     map[oci.Digest]Problem // what this round took away here
	problems  []Problem
	manifests int64
	// memo has what was checked: the number of the set of problems that it
	// leads to, 0 for none.
	memo map[uint64]int32
	sets [][]int32 // of numbers of problems
}

const (
	// maxManifest is the largest manifest that the registry serves, in bytes.
	maxManifest = 16 << 20
	// maxDepth is how deep indexes may lie in one another.
	maxDepth = 32
)

// index checks everything that the entries lead to, and notes for each problem
// which entries it concerns.
func (v *visit) index(ctx context.Context, index *oci.Index) error {
	noted := map[oci.Digest]bool{}
	for e := range index.Entries {
		set, err := v.check(ctx, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size}, demand{manifest: true, required: true})
		if err != nil {
			return err
		}
		if set == 0 || noted[e.Digest] {
			continue
		}
		noted[e.Digest] = true
		for _, p := range v.sets[set] {
			v.problems[p].Entries = append(v.problems[p].Entries, e.Digest)
		}
	}
	return nil
}

// demand is what is asked of what a descriptor names.
type demand struct {
	manifest bool // it has to be one
	maybe    bool // it may be one
	required bool // it has to be there
	depth    int
}

// check checks what a descriptor names, with all that this leads to. It returns
// the number of the set of problems.
func (v *visit) check(ctx context.Context, d oci.Descriptor, want demand) (int32, error) {
	if _, err := oci.ParseDigest(string(d.Digest)); err != nil {
		if !want.required || d.Digest == "" {
			return 0, nil
		}
		return v.set(v.problem(d.Digest, KindMissing, "it has a digest that cannot be stored here", "")), nil
	}
	key := v.keys.of("memo", string(d.Digest), fmt.Sprint(d.Size, want.manifest || want.maybe))
	if set, known := v.memo[key]; known {
		return set, nil
	}
	if err := v.round.Step(ctx, 0); err != nil {
		return 0, err
	}
	set, there, err := v.look(ctx, d, want)
	if err == nil && (there || want.required) {
		v.memo[key] = set
	}
	return set, err
}

// looks is how often something is looked at that is deleted and comes again.
const looks = 3

// look is check of what was not looked at yet. there is false where it is
// absent.
func (v *visit) look(ctx context.Context, d oci.Descriptor, want demand) (set int32, there bool, err error) {
	for range looks {
		info, err := v.store.StatBlob(ctx, v.repo, d.Digest)
		if errors.Is(err, oci.ErrBlobUnknown) {
			break
		}
		if stops(ctx, err) {
			return 0, false, err
		}
		if err != nil {
			return v.set(v.problem(d.Digest, KindUnreadable, err.Error(), "")), true, nil
		}
		found, err := v.lookAt(ctx, d, info, want)
		if !errors.Is(err, oci.ErrBlobUnknown) {
			return v.set(append(found, v.before(d.Digest)...)...), true, err
		}
	}
	found := v.before(d.Digest)
	if want.required && len(found) == 0 {
		found = append(found, v.missing(ctx, d.Digest))
	}
	return v.set(found...), false, nil
}

// before is the problem of a blob that this round took away.
func (v *visit) before(d oci.Digest) []int32 {
	if p, ok := v.taken[d]; ok {
		return []int32{v.append(p)}
	}
	return nil
}

// lookAt is look at what is there. Errors: ErrBlobUnknown where it is gone.
func (v *visit) lookAt(ctx context.Context, d oci.Descriptor, info oci.BlobInfo, want demand) ([]int32, error) {
	asManifest := (want.manifest || want.maybe) && info.Size <= maxManifest
	p, content, err := v.examine(ctx, d.Digest, info, asManifest)
	if p != nil {
		v.taken[d.Digest] = *p
	}
	switch {
	case err != nil:
		return nil, err
	case content != nil:
		return v.manifest(ctx, d, content, want)
	case p == nil && d.Size >= 0 && d.Size != info.Size:
		return []int32{v.wrongSize(d, info.Size)}, nil
	case p == nil && want.manifest && !asManifest:
		return []int32{v.problem(d.Digest, KindInvalid, fmt.Sprintf("it has %d bytes, which is too large for a manifest", info.Size), "")}, nil
	}
	return nil, nil
}

// manifest checks a manifest whose content is right, and what it names.
func (v *visit) manifest(ctx context.Context, d oci.Descriptor, content []byte, want demand) (found []int32, err error) {
	v.manifests++
	if d.Size >= 0 && d.Size != int64(len(content)) {
		found = append(found, v.wrongSize(d, int64(len(content))))
	}
	m, err := oci.InspectManifest(content, d.MediaType)
	if err != nil {
		if want.manifest {
			found = append(found, v.problem(d.Digest, KindInvalid, err.Error(), ""))
		}
		return found, nil
	}
	if want.depth >= maxDepth {
		return append(found, v.problem(d.Digest, KindInvalid, "indexes lie in one another too deep", "")), nil
	}
	below := func(d oci.Descriptor, want demand) error {
		set, err := v.check(ctx, d, want)
		found = append(found, v.sets[set]...)
		return err
	}
	for _, child := range m.Manifests {
		isManifest := oci.IsManifestType(child.MediaType)
		err := below(child, demand{
			manifest: isManifest, maybe: child.MediaType == "", depth: want.depth + 1,
			required: v.opts.Sparse == registry.SparseNone,
		})
		if err != nil {
			return nil, err
		}
	}
	required := v.opts.Sparse != registry.SparseAll
	for i, blob := range slices.Concat([]oci.Descriptor{m.Config}, m.Layers) {
		if err := below(blob, demand{required: required && (i == 0 || blob.Distributable())}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// missing is the problem of a blob that is absent.
func (v *visit) missing(ctx context.Context, d oci.Digest) int32 {
	if q, ok := v.store.(oci.Quarantiner); ok {
		if reason, err := q.QuarantineReason(ctx, v.repo, d); err == nil && reason != "" {
			return v.problem(d, KindMissing, "it was damaged: "+reason, OutcomeQuarantined)
		}
	}
	return v.problem(d, KindMissing, "it is not there", "")
}

func (v *visit) wrongSize(d oci.Descriptor, size int64) int32 {
	return v.problem(d.Digest, KindSize, fmt.Sprintf("it has %d bytes, its descriptor says %d", size, d.Size), "")
}

// problem notes a problem and returns its number.
func (v *visit) problem(d oci.Digest, kind Kind, text string, outcome Outcome) int32 {
	return v.append(Problem{Repository: v.repo, Blob: d, Kind: kind, Error: text, Outcome: outcome})
}

func (v *visit) append(p Problem) int32 {
	p.Entries = nil
	for i, other := range v.problems {
		if other.Blob == p.Blob && other.Kind == p.Kind && other.Error == p.Error {
			return int32(i)
		}
	}
	v.problems = append(v.problems, p)
	return int32(len(v.problems) - 1)
}

// set makes a set of problems and returns its number.
func (v *visit) set(problems ...int32) int32 {
	if len(problems) == 0 {
		return 0
	}
	slices.Sort(problems)
	v.sets = append(v.sets, slices.Compact(problems))
	return int32(len(v.sets) - 1)
}
