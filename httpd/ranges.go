package httpd

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"berth/oci"
)

// maxRanges bounds the parts of one answer; a request for more gets the whole.
const maxRanges = 32

// span is bytes start up to, not including, end.
type span struct{ start, end int64 }

func (s span) length() int64 { return s.end - s.start }

// parseRange reads a Range header for content of a size (RFC 9110, section
// 14.2). No spans and ok means to serve the whole: the header is malformed, of
// another unit, asks for too much, or the content is empty. Not ok means that
// nothing asked for is there (416). Overlapping ranges are joined.
func parseRange(header string, size int64) (spans []span, ok bool) {
	set, isBytes := cutPrefixFold(header, "bytes=")
	if !isBytes || size == 0 {
		return nil, true
	}
	some := false
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue // lists may have empty elements
		}
		s, valid := parseSpan(spec, size)
		if !valid || len(spans) == maxRanges {
			return nil, true
		}
		some = true
		if s.length() > 0 {
			spans = append(spans, s)
		}
	}
	if !some {
		return nil, true
	}
	return joinOverlaps(spans), len(spans) > 0
}

// firstPart is what a store is asked for first, before the content's size is
// known: length bytes from an offset on, or all to the end where length is 0; an
// offset below zero counts from the end. Without a Range that tells more it is
// all. What is answered parseRange decides.
func firstPart(header string) (offset, length int64) {
	set, isBytes := cutPrefixFold(header, "bytes=")
	if !isBytes {
		return 0, 0
	}
	spec, more, _ := strings.Cut(set, ",")
	first, last, found := strings.Cut(strings.Trim(spec, " \t"), "-")
	start, begins := parseOffset(first)
	end, ends := parseOffset(last)
	switch {
	case !found || first != "" && !begins || last != "" && !ends:
		return 0, 0
	case !begins:
		return -end, 0
	case !ends || strings.Trim(more, " \t,") != "":
		return start, 0
	}
	return start, max(0, end-start+1)
}

// parseSpan reads "a-b", "a-" or "-n". A valid span with nothing in it is not
// satisfiable.
func parseSpan(spec string, size int64) (s span, valid bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return span{}, false
	}
	if first == "" {
		n, ok := parseOffset(last)
		return span{max(0, size-n), size}, ok
	}
	start, ok := parseOffset(first)
	if !ok {
		return span{}, false
	}
	if last == "" {
		return span{min(start, size), size}, true
	}
	end, ok := parseOffset(last)
	if !ok || end < start {
		return span{}, false
	}
	return span{min(start, size), min(end, size-1) + 1}.normal(), true
}

// normal makes a span that ends before it starts an empty one.
func (s span) normal() span {
	if s.end < s.start {
		s.end = s.start
	}
	return s
}

// joinOverlaps leaves spans that do not overlap in their order and otherwise
// sorts them and joins those that do.
func joinOverlaps(spans []span) []span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	joined := sorted[:0]
	for _, s := range sorted {
		if n := len(joined); n > 0 && s.start < joined[n-1].end {
			joined[n-1].end = max(joined[n-1].end, s.end)
			continue
		}
		joined = append(joined, s)
	}
	if len(joined) == len(spans) {
		return spans
	}
	return joined
}

// parseOffset reads decimal digits; what is too large for an int64 is as good
// as the largest one that leaves room to count on.
func parseOffset(s string) (int64, bool) {
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n == 1<<63-1 {
		return 1<<63 - 2, true
	}
	return n, true
}

// parseContentRange reads the Content-Range of a chunk, "<first>-<last>" with
// both ends inclusive (end-5). Some clients send RFC 9110's form, "bytes
// <first>-<last>/<size>", which says the same.
func parseContentRange(s string) (span, error) {
	spec := s
	if rest, ok := cutPrefixFold(spec, "bytes"); ok {
		spec, _, _ = strings.Cut(strings.TrimLeft(rest, " ="), "/")
	}
	first, last, _ := strings.Cut(spec, "-")
	start, ok1 := parseOffset(first)
	end, ok2 := parseOffset(last)
	if !ok1 || !ok2 || end < start {
		return span{}, oci.Errorf(oci.ErrUploadInvalid, "Content-Range must be <first byte>-<last byte>, like 0-1023")
	}
	return span{start, end + 1}, nil
}

// cutPrefixFold is strings.CutPrefix without regard to case.
func cutPrefixFold(s, prefix string) (rest string, found bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
