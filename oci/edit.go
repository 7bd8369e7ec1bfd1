package oci

import "slices"

// Put is the index after a push of the manifest that d describes: each tag
// points at it, and at nothing else; without tags it has an entry. subject is
// "" where the manifest has none. It returns x itself where that changes
// nothing.
//
// There is one entry for each tag of a manifest, or one untagged. An entry that
// somebody else made keeps its other fields.
func (x *Index) Put(d Descriptor, subject Digest, tags ...Tag) *Index {
	e := edit{Index: x}
	for _, t := range tags {
		e.untag(t, d.Digest)
	}
	for _, old := range slices.Clone(e.digestRun(d.Digest)) {
		if now := vet(old, d, subject); now != old {
			e.replace(old, now)
		}
	}
	for _, t := range tags {
		run := e.digestRun(d.Digest)
		if slices.ContainsFunc(run, func(old *Entry) bool { return old.Tag == t && old.served }) {
			continue
		}
		untagged := slices.IndexFunc(run, func(old *Entry) bool { return old.Tag == "" && old.served })
		if untagged >= 0 {
			e.replace(run[untagged], run[untagged].annotated(notes{tag: t, retag: true, subject: subject, vetted: true}))
		} else {
			e.append(newEntry(d, notes{tag: t, subject: subject, vetted: true}))
		}
	}
	if first(e.digestRun(d.Digest)) == nil {
		e.append(newEntry(d, notes{subject: subject, vetted: true}))
	}
	return e.Index
}

// vet is an entry of a manifest that is being pushed, as it has to be: of that
// media type and with its subject noted.
func vet(old *Entry, d Descriptor, subject Digest) *Entry {
	switch {
	case old.MediaType != d.MediaType || !old.served:
		return newEntry(d, notes{tag: old.Tag, subject: subject, vetted: true})
	case !old.Vetted || old.Subject != subject:
		return old.annotated(notes{subject: subject, vetted: true})
	}
	return old
}

// Keep is the index after a manifest that was reachable only through another
// was given an untagged entry of its own, so that it stays when the other goes.
// It returns x itself where that changes nothing.
func (x *Index) Keep(d Descriptor) *Index {
	if len(x.digestRun(d.Digest)) > 0 {
		return x
	}
	e := edit{Index: x}
	e.append(newEntry(d, notes{}))
	return e.Index
}

// DeleteTag is the index without a tag. The manifest stays, by its digest. It
// returns x itself where there is no such tag.
func (x *Index) DeleteTag(t Tag) *Index {
	if x.Tagged(t) == nil {
		return x
	}
	e := edit{Index: x}
	e.untag(t, "")
	return e.Index
}

// DeleteManifest is the index without a manifest and all its tags. It returns
// x itself where the index does not name it.
func (x *Index) DeleteManifest(d Digest) *Index {
	if x.Named(d) == nil {
		return x
	}
	e := edit{Index: x}
	for _, old := range slices.Clone(e.digestRun(d)) {
		e.remove(old)
	}
	return e.Index
}

// edit makes an index from another, which it copies at the first change: the
// slices of pointers, not the entries.
type edit struct {
	*Index
	own bool // the index is a copy
}

// change makes sure that the index is a copy.
func (e *edit) change() {
	if e.own {
		return
	}
	x := *e.Index
	x.entries = grown(x.entries)
	x.byTag = x.byTag.clone()
	x.byDigest = x.byDigest.clone()
	x.bySubject = x.bySubject.clone()
	e.Index, e.own = &x, true
}

// grown copies a slice, with room for one more.
func grown(list []*Entry) []*Entry {
	return append(make([]*Entry, 0, len(list)+1), list...)
}

// untag takes a tag from every manifest but one. A manifest without another
// entry keeps this one, untagged.
func (e *edit) untag(t Tag, but Digest) {
	kept := false
	for _, old := range slices.Clone(e.byTag.run(string(t))) {
		switch {
		case old.Digest == but && but != "" && old.served && old.exact && !kept:
			kept = true
		case old.Digest != "" && len(e.digestRun(old.Digest)) > 1:
			e.remove(old)
		default:
			e.replace(old, old.annotated(notes{retag: true}))
		}
	}
}

func (e *edit) append(entry *Entry) {
	e.change()
	e.entries = append(e.entries, entry)
	e.link(entry)
}

func (e *edit) remove(entry *Entry) {
	e.change()
	at := slices.Index(e.entries, entry)
	e.entries = slices.Delete(e.entries, at, at+1)
	e.unlink(entry)
}

func (e *edit) replace(old, now *Entry) {
	e.change()
	e.entries[slices.Index(e.entries, old)] = now
	e.unlink(old)
	e.link(now)
}

// link adds an entry to the orders to search in.
func (e *edit) link(entry *Entry) {
	e.bytes += int64(len(entry.Raw))
	e.unvetted += entry.unvetted()
	if entry.Tag != "" {
		e.byTag.insert(entry)
	}
	if entry.Digest != "" {
		e.byDigest.insert(entry)
	}
	if entry.refers() {
		e.bySubject.insert(entry)
	}
}

// unlink takes an entry out of the orders to search in.
func (e *edit) unlink(entry *Entry) {
	e.bytes -= int64(len(entry.Raw))
	e.unvetted -= entry.unvetted()
	if entry.Tag != "" {
		e.byTag.remove(entry)
	}
	if entry.Digest != "" {
		e.byDigest.remove(entry)
	}
	if entry.refers() {
		e.bySubject.remove(entry)
	}
}
