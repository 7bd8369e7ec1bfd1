package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseManifest reads a manifest that a client pushes, and holds it to the
// image specification where clients could else read it in different ways.
// mediaType is the request's Content-Type, without parameters, or "" where
// there was none; docker says whether Docker's types are accepted. Fields that
// are not known are ignored. It fails with ErrManifestInvalid or ErrMediaType.
func ParseManifest(content []byte, mediaType string, docker bool) (*Manifest, error) {
	if err := acceptable(mediaType, docker); err != nil && mediaType != "" {
		return nil, err
	}
	if !json.Valid(content) || !utf8.Valid(content) || !isObject(content) {
		return nil, Errorf(ErrManifestInvalid, "the body is not one JSON object in UTF-8")
	}
	p := manifestParser{strict: true}
	if err := p.parse(string(content)); err != nil {
		return nil, Errorf(ErrManifestInvalid, "%v", err)
	}
	m := &p.Manifest
	if mediaType != "" && m.MediaType != "" && m.MediaType != mediaType {
		return nil, Errorf(ErrManifestInvalid, "mediaType is %q, but the Content-Type is %q", clip(m.MediaType), mediaType)
	}
	if isDockerType(mediaType) && m.MediaType == "" {
		return nil, Errorf(ErrManifestInvalid, "mediaType is missing; it must be %s", mediaType)
	}
	if m.MediaType == "" {
		m.MediaType = mediaType
	}
	if m.MediaType == "" {
		m.MediaType = p.shape()
	}
	if err := acceptable(m.MediaType, docker); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, Errorf(ErrManifestInvalid, "%v", err)
	}
	return m, nil
}

// InspectManifest reads a manifest that is stored already, made by anybody: it
// takes what it understands and passes over the rest. mediaType is that of its
// descriptor, "" where it has none. It fails where the content is not a
// manifest at all.
func InspectManifest(content []byte, mediaType string) (*Manifest, error) {
	if !json.Valid(content) || !isObject(content) {
		return nil, errors.New("manifest is not a JSON object")
	}
	var p manifestParser
	if err := p.parse(string(content)); err != nil {
		return nil, err
	}
	switch {
	case mediaType != "":
		p.MediaType = mediaType
	case p.MediaType == "":
		p.MediaType = p.shape()
	}
	if !IsManifestType(p.MediaType) {
		return nil, fmt.Errorf("media type %q is not that of a manifest", clip(p.MediaType))
	}
	if p.IsIndex() {
		p.Config, p.Layers = Descriptor{}, nil
	} else {
		p.Manifests = nil
	}
	return &p.Manifest, nil
}

func isObject(content []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{"))
}

// acceptable says whether manifests of a media type may be pushed.
func acceptable(mediaType string, docker bool) error {
	switch {
	case isDockerType(mediaType) && !docker:
		return Errorf(ErrMediaType, `Docker manifests (%s) are not accepted here; push OCI ones, or let the registry's operator set http.compat = ["docker2s2"]`, mediaType)
	case IsManifestType(mediaType):
		return nil
	case mediaType == "":
		return Errorf(ErrMediaType, "the media type is not known: neither a Content-Type, nor mediaType, nor config, layers or manifests say it")
	case docker:
		return Errorf(ErrMediaType, "%q is not accepted; %s, %s, %s and %s are", clip(mediaType), MediaTypeManifest, MediaTypeIndex, MediaTypeDockerManifest, MediaTypeDockerList)
	}
	return Errorf(ErrMediaType, "%q is not accepted; %s and %s are", clip(mediaType), MediaTypeManifest, MediaTypeIndex)
}

// manifestParser gathers a manifest's fields. When strict, what the
// specification forbids is an error; else it is passed over.
type manifestParser struct {
	Manifest
	strict bool

	schemaVersion                  string // text of the value
	hasConfig, hasLayers, hasIndex bool
	nullIndex                      bool // manifests is null: how some write an empty list
}

// manifestFields are the fields that have a meaning here. A body in which one
// appears twice, or in other letter case too, would mean different things to
// different readers.
const manifestFields = " schemaVersion mediaType artifactType config layers manifests subject annotations "

const descriptorFields = " mediaType digest size artifactType urls annotations "

func (p *manifestParser) parse(s string) error {
	c := cursor{s: s}
	c.space()
	object := c.value()
	if p.strict {
		if err := unambiguous(object, manifestFields); err != nil {
			return err
		}
	}
	for name, value := range members(object) {
		if value == "null" {
			p.nullIndex = p.nullIndex || name == "manifests"
			continue
		}
		if err := p.field(name, value); err != nil && p.strict {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// unambiguous fails where a known field is given twice or in other letters.
func unambiguous(object, known string) error {
	var seen [96]bool // by the field's place in known
	for name := range members(object) {
		at := strings.Index(known, " "+name+" ")
		switch {
		case at < 0:
			for field := range strings.FieldsSeq(known) {
				if strings.EqualFold(field, name) {
					return fmt.Errorf("field %q is %q in other letters", clip(name), field)
				}
			}
		case seen[at]:
			return fmt.Errorf("field %q is given twice", name)
		default:
			seen[at] = true
		}
	}
	return nil
}

func (p *manifestParser) field(name, value string) (err error) {
	switch name {
	case "schemaVersion":
		p.schemaVersion = value
	case "mediaType":
		p.MediaType, err = textField(value)
	case "artifactType":
		p.ArtifactType, err = textField(value)
	case "config":
		p.hasConfig = true
		p.Config, err = p.descriptor(value)
	case "layers":
		p.hasLayers = true
		p.Layers, err = p.descriptors(value)
	case "manifests":
		p.hasIndex = true
		p.Manifests, err = p.descriptors(value)
	case "subject":
		var subject Descriptor
		subject, err = p.descriptor(value)
		p.Subject = subject.Digest
	case "annotations":
		p.Annotations, err = annotations(value)
	}
	return err
}

// textField decodes a string into one that does not share the text's memory.
func textField(value string) (string, error) {
	s, ok := text(value)
	if !ok {
		return "", errors.New("must be a string")
	}
	return strings.Clone(s), nil
}

// annotations checks a string-string map and returns it without white space.
func annotations(value string) (string, error) {
	if !strings.HasPrefix(value, "{") {
		return "", errors.New("must be an object")
	}
	for name, v := range members(value) {
		if !strings.HasPrefix(v, `"`) {
			return "", fmt.Errorf("the value of %q must be a string", clip(name))
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(value)); err != nil {
		return "", err
	}
	return compact.String(), nil
}

// descriptors reads an array. When not strict, elements that are no
// descriptors are left out.
func (p *manifestParser) descriptors(value string) ([]Descriptor, error) {
	if !strings.HasPrefix(value, "[") {
		return nil, errors.New("must be an array")
	}
	var list []Descriptor
	for element := range elements(value) {
		d, err := p.descriptor(element)
		if err == nil {
			list = append(list, d)
		} else if p.strict {
			return nil, fmt.Errorf("descriptor %d: %w", len(list)+1, err)
		}
	}
	return list, nil
}

func (p *manifestParser) descriptor(value string) (Descriptor, error) {
	if !strings.HasPrefix(value, "{") {
		return Descriptor{}, errors.New("must be a descriptor, an object")
	}
	if p.strict {
		if err := unambiguous(value, descriptorFields); err != nil {
			return Descriptor{}, err
		}
	}
	d := Descriptor{Size: -1}
	for name, v := range members(value) {
		if err := d.field(name, v); err != nil {
			return Descriptor{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case d.Digest == "":
		return Descriptor{}, errors.New("digest is missing")
	case p.strict && d.MediaType == "":
		return Descriptor{}, errors.New("mediaType is missing")
	case p.strict && d.Size < 0:
		return Descriptor{}, errors.New("size is missing or negative")
	}
	return d, nil
}

func (d *Descriptor) field(name, value string) (err error) {
	if value == "null" {
		return nil
	}
	switch name {
	case "mediaType":
		d.MediaType, err = textField(value)
	case "artifactType":
		d.ArtifactType, err = textField(value)
	case "digest":
		var s string
		if s, err = textField(value); err == nil {
			d.Digest, err = digestField(s)
		}
	case "size":
		if d.Size, err = strconv.ParseInt(value, 10, 64); err != nil {
			err = errors.New("must be a whole number of bytes")
		}
	case "urls":
		d.Elsewhere = strings.HasPrefix(value, "[") && strings.Trim(value, "[] \t\r\n") != ""
	case "annotations":
		_, err = annotations(value)
	}
	return err
}

// digestField checks a descriptor's digest. One of an algorithm that berth does
// not know is well-formed (image-spec, Digests).
func digestField(s string) (Digest, error) {
	if _, err := ParseDigest(s); errors.Is(err, ErrDigestInvalid) {
		return "", fmt.Errorf("%q is not a digest", clip(s))
	}
	return Digest(s), nil
}

// shape derives the media type of a manifest that does not tell it.
func (p *manifestParser) shape() string {
	switch {
	case (p.hasIndex || p.nullIndex) && !p.hasConfig && !p.hasLayers:
		return MediaTypeIndex
	case !p.hasIndex && (p.hasConfig || p.hasLayers):
		return MediaTypeManifest
	}
	return ""
}

// check holds a manifest whose media type is known to its kind's rules.
func (p *manifestParser) check() error {
	switch {
	case p.schemaVersion != "2":
		return fmt.Errorf("schemaVersion is %s, it must be 2", orMissing(p.schemaVersion))
	case (p.hasIndex || p.IsIndex()) && (p.hasConfig || p.hasLayers):
		return errors.New("it has manifests beside config or layers: it must be an index or an image manifest, not both")
	case p.IsIndex() && !p.hasIndex && !p.nullIndex:
		return fmt.Errorf("manifests is missing, a %s must have it", p.MediaType)
	case !p.IsIndex() && !p.hasConfig:
		return fmt.Errorf("config is missing, a %s must have it", p.MediaType)
	}
	return nil
}

func orMissing(s string) string {
	if s == "" {
		return "missing"
	}
	return clip(s)
}
