package scrub

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"berth/oci"
)

// window is how much is read between two steps, in bytes.
const window = 1 << 20

// examine reads a blob unless this copy was read in this round, and deals with
// it where it is damaged. With keep it is read in any case, and its content
// returned if that is right. Errors: ErrBlobUnknown where it is gone.
func (v *visit) examine(ctx context.Context, d oci.Digest, info oci.BlobInfo, keep bool) (*Problem, []byte, error) {
	key, shared := v.keyOf(d, info)
	if !keep && v.keys.has(key) {
		return nil, nil, nil
	}
	kind, why, content, err := v.read(ctx, d, false, keep)
	if err != nil {
		return nil, nil, err
	}
	if kind == "" {
		v.keys.add(key, shared)
		return nil, content, nil
	}
	p := &Problem{Repository: v.repo, Blob: d, Kind: kind, Error: why}
	sound, err := v.takeAway(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if sound {
		v.report.Transient++
		v.opts.Log.Warn("a blob was read wrong, and right the second time: memory, cable or disk may be about to fail",
			"repository", v.repo, "digest", d, "error", why)
		p = nil
	}
	if keep && (p == nil || p.Outcome == OutcomeHealed) {
		if kind, _, content, err = v.read(ctx, d, false, true); err != nil || kind != "" {
			return p, nil, err
		}
	}
	return p, content, nil
}

// keyOf stands for a copy of a blob. shared tells that another repository may
// have the same.
func (v *visit) keyOf(d oci.Digest, info oci.BlobInfo) (key uint64, shared bool) {
	if info.Copy == 0 {
		return v.keys.of("blob", string(v.repo), string(d)), false
	}
	return v.keys.of("copy", fmt.Sprint(info.Copy), string(d)), info.Links != 1
}

// read compares a blob with its digest. kind is "" where it is right. Its error
// ends the round, or is ErrBlobUnknown.
func (v *visit) read(ctx context.Context, d oci.Digest, fresh, keep bool) (kind Kind, why string, content []byte, err error) {
	c, err := oci.OpenOnce(ctx, v.store, v.repo, d, fresh)
	if err != nil {
		if errors.Is(err, oci.ErrBlobUnknown) || stops(ctx, err) {
			return "", "", nil, err
		}
		return KindUnreadable, "it cannot be opened: " + err.Error(), nil, nil
	}
	defer c.Close()
	kept := bytes.NewBuffer([]byte{})
	h := d.Algorithm().Hash()
	sink := io.Writer(h)
	if keep {
		sink = io.MultiWriter(h, kept)
	}
	if v.buffer == nil {
		v.buffer = make([]byte, window)
	}
	v.report.Blobs++
	for {
		n, err := c.Read(v.buffer)
		_, _ = sink.Write(v.buffer[:n]) // neither of the two fails
		v.report.Bytes += int64(n)
		v.unsaved += int64(n)
		v.progress()
		if err := v.round.Step(ctx, int64(n)); err != nil {
			return "", "", nil, err
		}
		if err == io.EOF {
			break
		}
		if stops(ctx, err) {
			return "", "", nil, err
		}
		if err != nil {
			return KindUnreadable, "it cannot be read: " + err.Error(), nil, nil
		}
		v.saveIfDue()
	}
	if hex.EncodeToString(h.Sum(nil)) != d.Encoded() {
		return KindRot, "its content does not match its digest", nil, nil
	}
	if !keep {
		return "", "", nil, nil
	}
	return "", "", kept.Bytes(), nil
}

// takeAway takes a damaged blob out of service where that is possible, and
// looks again by itself otherwise. sound: it was read right this time.
func (v *visit) takeAway(ctx context.Context, p *Problem) (sound bool, err error) {
	var q oci.Quarantined
	err = oci.ErrReadOnly
	if v.quarantiner != nil {
		q, err = v.quarantiner.QuarantineBlob(ctx, v.repo, p.Blob, p.Error)
	}
	if errors.Is(err, oci.ErrReadOnly) {
		kind, why, _, err := v.read(ctx, p.Blob, true, false)
		if err == nil && kind != "" {
			p.Kind, p.Error = kind, why
		}
		return err == nil && kind == "", err
	}
	if errors.Is(err, oci.ErrBlobUnknown) || stops(ctx, err) {
		return false, err
	}
	if err != nil {
		p.Error += "; it cannot be quarantined: " + err.Error()
		return false, nil
	}
	if v.opts.Lost != nil {
		for _, repo := range q.Repos {
			v.opts.Lost(repo, p.Blob)
		}
	}
	p.Outcome = OutcomeQuarantined
	if slices.Contains(q.Healed, v.repo) {
		p.Outcome = OutcomeHealed
	}
	if others := without(q.Repos, v.repo); len(others) > 0 {
		p.Error += "; shared with " + strings.Join(others, ", ")
	}
	return q.Sound, nil
}

// mostNamed is how many other repositories a problem names.
const mostNamed = 10

func without(repos []oci.Repo, one oci.Repo) (names []string) {
	for _, repo := range repos {
		switch {
		case repo == one:
		case len(names) == mostNamed:
			return append(names, "…")
		default:
			names = append(names, string(repo))
		}
	}
	return names
}
