package oci

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// ParseIndex reads an index.json, made by anybody: fields may be missing, and
// descriptors that make no sense here are kept but not served. It fails where
// the bytes are not a JSON object with at most one list of manifests.
func ParseIndex(data []byte) (*Index, error) {
	if !json.Valid(data) || !isObject(data) {
		return nil, errors.New("index.json is not a JSON object")
	}
	c := cursor{s: string(data)}
	c.space()
	object := c.value()
	x := &Index{}
	list, found := "", false
	for name, value := range texts(object) {
		if name == `"annotations"` {
			x.readAnnotations(value)
		}
		if name != `"manifests"` {
			continue
		}
		if found {
			return nil, errors.New("index.json has manifests twice")
		}
		list, found = value, true
	}
	if err := x.split(object, list, found); err != nil {
		return nil, err
	}
	for raw := range elements(list) {
		e := parseEntry(raw)
		x.entries = append(x.entries, e)
		x.bytes += int64(len(raw))
	}
	x.sort()
	return x, nil
}

// split finds what stands before and after the descriptors. list is a
// substring of object.
func (x *Index) split(object, list string, found bool) error {
	switch {
	case !found:
		x.head, x.tail = `{"manifests":[`, "],"+object[1:]
		if strings.Trim(object, "{} \t\r\n") == "" {
			x.tail = "]}"
		}
		return nil
	case list != "null" && list[0] != '[':
		return errors.New("index.json: manifests is not an array")
	}
	at := offset(object)
	x.head, x.tail = object[:at]+"[", "]"+object[at+len(list):]
	return nil
}

// offset is where the value of manifests begins in object.
func offset(object string) int {
	c := cursor{s: object}
	for {
		if name, _ := c.member(); name == `"manifests"` {
			return c.i
		}
		c.value()
	}
}

// sort fills the orders to search in.
func (x *Index) sort() {
	var tagged, digests, referrers []*Entry
	for _, e := range x.entries {
		if e.Tag != "" {
			tagged = append(tagged, e)
		}
		if e.Digest != "" {
			digests = append(digests, e)
		}
		if e.refers() {
			referrers = append(referrers, e)
		}
		x.unvetted += e.unvetted()
	}
	x.byTag = sorted(tagged, textOfTag, byRank)
	x.byDigest = sorted(digests, textOfDigest, byServed)
	x.bySubject = sorted(referrers, textOfSubject, byReferrer)
}

func (e *Entry) refers() bool { return e.served && e.Subject != "" }

// unvetted counts the entry as 1 where it is served and not vetted.
func (e *Entry) unvetted() int {
	if e.served && !e.Vetted {
		return 1
	}
	return 0
}

// parseEntry reads a descriptor. It never fails: what it does not understand
// is kept and not served.
func parseEntry(raw string) *Entry {
	e := &Entry{Raw: raw, Size: -1}
	sound := true
	c := cursor{s: raw}
	for name, value, ok := c.next(); ok; name, value, ok = c.next() {
		switch name {
		case "mediaType":
			e.MediaType, sound = entryText(value, sound)
		case "digest":
			var s string
			s, sound = entryText(value, sound)
			e.Digest = supported(s)
		case "artifactType":
			e.ArtifactType, sound = entryText(value, sound)
		case "size":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
				e.Size = n
			}
		case "annotations":
			e.annotations(value)
		}
	}
	e.served = sound && e.Digest != "" && (e.MediaType == "" || IsManifestType(e.MediaType))
	return e
}

// entryText decodes a string; sound turns false where it is something else.
func entryText(value string, sound bool) (string, bool) {
	s, ok := text(value)
	return s, sound && (ok || value == "null")
}

// supported returns s if it is a digest that berth can verify, else "".
func supported(s string) Digest {
	d, err := ParseDigest(s)
	if err != nil {
		return ""
	}
	return d
}

func (e *Entry) annotations(value string) {
	c := cursor{s: value}
	for name, v, ok := c.next(); ok; name, v, ok = c.next() {
		switch name {
		case AnnotationRefName:
			if s, ok := text(v); ok {
				e.Tag, e.exact = refTag(s)
			}
		case AnnotationSubject:
			if s, ok := text(v); ok {
				if s != "" {
					e.Subject = supported(s)
				}
				e.Vetted = s == "" || e.Subject != ""
			}
		}
	}
}

// refTag reads the annotation org.opencontainers.image.ref.name. What is no tag
// may be a whole reference that has one, such as
// docker.io/library/alpine:3.18@sha256:…; with neither tag nor digest it stands
// for latest.
func refTag(s string) (t Tag, exact bool) {
	if t, err := ParseTag(s); err == nil {
		return t, true
	}
	name, _, pinned := strings.Cut(s, "@")
	last := strings.LastIndexByte(name, '/') + 1
	if colon := strings.IndexByte(name[last:], ':'); colon >= 0 {
		t, err := ParseTag(name[last+colon+1:])
		if err != nil || !validReference(name[:last+colon]) {
			return "", false
		}
		return t, false
	}
	host, _, slash := strings.Cut(name, "/")
	if pinned || !slash || !isHost(host) || !validReference(name) {
		return "", false
	}
	return "latest", false
}

// validReference checks a repository's name that may begin with a host.
func validReference(s string) bool {
	host, path, found := strings.Cut(s, "/")
	if found && isHost(host) {
		s = path
	}
	_, err := ParseRepo(s)
	return err == nil
}

// isHost tells a host from the first component of a repository's name, as
// clients do.
func isHost(s string) bool {
	if s == "" || s != "localhost" && !strings.ContainsAny(s, ".:") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]") == ""
}
