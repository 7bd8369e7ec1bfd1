package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// Shared content is deleted by this order, which needs no clock and no lock to
// be safe:
//
//	collector                        who makes a reference
//	1. PUT <content>.condemned       1. list <content>*
//	2. list all references           2. PUT <reference>
//	3. the mark is replaced,         3. list <content>*
//	   if it is still the same       after 1 or 3, where it is condemned, or
//	4. DELETE <content>              gone: makes an object of its own, and
//	                                 relies on no reference
//
// If the list of references does not have a new one, it was made after the list
// began, and so after the mark: who made it sees the mark, or that nothing is
// there. A mark that turns out to be wrong is replaced by one of no bytes, which
// means nothing, before it is deleted: so of two collectors one fails at step 3.
//
// A mark lies for condemnedFor before the content goes, so that an upload which
// relied on the content before rarely has to begin anew. And it lies as long
// after that, and nobody stores the content anew meanwhile: a DELETE that was held
// up, on its way or since its process was stopped, comes too late for the bucket to
// accept it. It is signed to end deleteWithin after what the bucket's clock showed
// before the mark was replaced.
const (
	condemnedFor = time.Hour
	deleteWithin = time.Minute
	// youngContent is left alone: its reference may be about to come.
	youngContent = time.Hour
	// sweptAtOnce bounds how much content a round has in memory, about 200
	// bytes each. The next round goes on behind it.
	sweptAtOnce = 50_000
)

// candidate is content that may have no reference.
type candidate struct {
	size     int64
	modified time.Time // zero: there is none, only the mark
	marked   time.Time // zero: it has no mark that means anything
	mark     string    // the ETag of a mark; "" for none
	wanted   bool
}

// sweep removes shared content without a reference.
func (r round) sweep(ctx context.Context) error {
	found, err := r.candidates(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	if err := r.findReferences(ctx, found); err != nil {
		return err
	}
	for _, d := range slices.Sorted(maps.Keys(found)) {
		err := r.judge(ctx, d, found[d])
		if errors.Is(err, errStale) || errors.Is(err, s3lite.ErrTooLate) {
			continue // another process judges it, too, or will
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge does with one candidate what is to be done now. Errors: errStale.
func (r round) judge(ctx context.Context, d oci.Digest, c *candidate) error {
	old := !c.marked.IsZero() && r.now.Sub(c.marked) >= condemnedFor
	switch {
	case c.modified.IsZero(): // the mark of content that is gone
		if (old || c.marked.IsZero()) && !r.dry {
			return r.pardon(ctx, d, c)
		}
	case c.wanted:
		if c.mark != "" && !r.dry {
			return r.pardon(ctx, d, c)
		}
	case c.marked.IsZero():
		if r.now.Sub(c.modified) >= youngContent && !r.dry {
			return r.condemn(ctx, d, c)
		}
	case old:
		if !r.dry {
			end, err := r.deletionEnd(ctx)
			if err != nil {
				return err
			}
			if err := r.condemn(ctx, d, c); err != nil {
				return err
			}
			if err := r.client.DeleteObjectBefore(ctx, r.keys.content(d), end); err != nil {
				return asStored(err)
			}
		}
		return r.told(fmt.Sprintf("shared content %s, which no repository refers to", d), c.size)
	}
	return nil
}

// candidates lists shared content and marks, from where the last round ended.
func (s *Store) candidates(ctx context.Context) (map[oci.Digest]*candidate, error) {
	found := map[oci.Digest]*candidate{}
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	last := ""
	err := s.client.Walk(ctx, s.keys.contents(), s.sweptUpTo, func(o s3lite.Info) error {
		key, mark := strings.CutSuffix(o.Key, condemnedSuffix)
		d, ok := parseDigest(key, s.keys.contents())
		if !ok {
			return nil
		}
		if len(found) >= sweptAtOnce && found[d] == nil {
			return errEnough
		}
		last = o.Key
		if found[d] == nil {
			found[d] = &candidate{}
		}
		switch c := found[d]; {
		case !mark:
			c.size, c.modified = o.Size, o.Modified
		case o.Size > 0:
			c.mark, c.marked = o.ETag, o.Modified
		default:
			c.mark = o.ETag
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		s.sweptUpTo = last
		return found, nil
	}
	s.sweptUpTo = ""
	return found, asStored(err)
}

// findReferences lists every object behind the store's own, and notes what
// those of no bytes refer to: berth's references, and those of another registry.
func (s *Store) findReferences(ctx context.Context, found map[oci.Digest]*candidate) error {
	behind := s.keys.root + strings.TrimSuffix(private, "/") + "0" // '0' follows '/'
	for _, part := range []struct{ after, before string }{{"", s.keys.root + private}, {behind, ""}} {
		err := s.client.Walk(ctx, s.keys.root, part.after, func(o s3lite.Info) error {
			if part.before != "" && o.Key >= part.before {
				return errEnough
			}
			if o.Size > 0 {
				return nil
			}
			dir, encoded, _ := cutLast(o.Key, "/")
			_, algorithm, _ := cutLast(dir, "/"+oci.LayoutBlobs+"/")
			if c := found[oci.Digest(algorithm+":"+encoded)]; c != nil {
				c.wanted = true
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return asStored(err)
		}
	}
	return nil
}

// condemn makes a mark, or makes it anew, if it is still the one that was seen.
// Errors: errStale.
func (s *Store) condemn(ctx context.Context, d oci.Digest, c *candidate) error {
	_, err := s.swapBytes(ctx, s.keys.condemned(d), c.mark, []byte(rand.Text()))
	return err
}

// pardon removes the mark that was seen. Errors: errStale.
func (s *Store) pardon(ctx context.Context, d oci.Digest, c *candidate) error {
	end, err := s.deletionEnd(ctx)
	if err != nil {
		return err
	}
	if _, err := s.swapBytes(ctx, s.keys.condemned(d), c.mark, nil); err != nil {
		return err
	}
	return asStored(s.client.DeleteObjectBefore(ctx, s.keys.condemned(d), end))
}

// deletionEnd is when a deletion has to be over that rests on what is written
// next.
func (s *Store) deletionEnd(ctx context.Context) (time.Time, error) {
	now, err := s.client.ServerTime(ctx)
	return now.Add(deleteWithin), asStored(err)
}
