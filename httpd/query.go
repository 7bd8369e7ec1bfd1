package httpd

import (
	"strconv"
	"strings"

	"berth/oci"
)

const (
	// maxTags bounds the tag parameters of one push (end-7b).
	maxTags = 100
	// maxParameters bounds the parameters of a query.
	maxParameters = 200
)

// query is the parameters that the API knows; others, ns among them, are
// ignored. Strings are decoded and unchecked, "" where absent.
type query struct {
	digest       string
	algorithm    string
	mount        string
	from         string
	last         string
	artifactType string
	hasDigest    bool
	hasMount     bool
	hasFilter    bool // artifactType is there and not empty
	n            int  // entries asked for; -1: no limit
	tags         []oci.Tag
}

// parseQuery reads a raw query string. Where a parameter is repeated that may
// be given once, the first counts.
func parseQuery(raw string) (query, error) {
	q := query{n: -1}
	for count, seenN := 0, false; raw != ""; count++ {
		if count == maxParameters {
			return q, errTooLong("the query has more than " + strconv.Itoa(maxParameters) + " parameters")
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		value, err := unescape(value)
		if err != nil {
			return q, err
		}
		if key == "n" && !seenN {
			seenN = true
			if q.n, err = parseCount(value); err != nil {
				return q, err
			}
			continue
		}
		if err := q.set(key, value); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (q *query) set(key, value string) error {
	switch key {
	case "digest":
		setOnce(&q.digest, value)
		q.hasDigest = true
	case "digest-algorithm":
		setOnce(&q.algorithm, value)
	case "mount":
		setOnce(&q.mount, value)
		q.hasMount = true
	case "from":
		setOnce(&q.from, value)
	case "last":
		setOnce(&q.last, value)
	case "artifactType":
		setOnce(&q.artifactType, value)
		q.hasFilter = q.artifactType != ""
	case "tag":
		return q.addTag(value)
	}
	return nil
}

func (q *query) addTag(value string) error {
	if len(q.tags) == maxTags {
		return errTooLong("at most " + strconv.Itoa(maxTags) + " tags can be pushed at once")
	}
	tag, err := oci.ParseTag(value)
	if err != nil {
		return err
	}
	q.tags = append(q.tags, tag)
	return nil
}

func setOnce(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// parseCount reads the n of a list. A number too large for an int asks for
// everything, like the largest int does.
func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err == nil {
		return int(n), nil
	}
	if isDigits(s) {
		return 1<<31 - 1, nil
	}
	return 0, errBadRequest("n must be a number, zero or more")
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// unescape decodes percent escapes. A plus sign stands for itself: no value of
// the API holds a space, and media types that clients forgot to escape hold
// pluses.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errBadRequest("the query holds an incomplete percent escape")
		}
		b, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errBadRequest("the query holds an invalid percent escape")
		}
		out = append(out, byte(b))
		i += 2
	}
	return string(out), nil
}

// escape encodes a value for a query.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/:", c) >= 0:
			out = append(out, c)
		default:
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}
