package httpd

import "strings"

// parseTags reads the entity tags of an If-Match or If-None-Match header
// (RFC 9110, section 13.1) and returns what stands between their quotes: for
// berth that is a digest. Weak tags are returned only where weak is true, the
// weak comparison. A list of just "*" stands for anything. What cannot be read
// is passed over, as clients exist that forget the quotes.
func parseTags(header string, weak bool) []string {
	if strings.TrimSpace(header) == "" {
		return nil
	}
	tags := []string{}
	for item := range strings.SplitSeq(header, ",") {
		item = strings.Trim(item, " \t")
		if rest, isWeak := strings.CutPrefix(item, "W/"); isWeak {
			if !weak {
				continue
			}
			item = rest
		}
		item = strings.Trim(item, `"`)
		if item != "" {
			tags = append(tags, item)
		}
	}
	return tags
}

// anyTag tells whether the list stands for a digest: by name or by "*".
func anyTag(tags []string, digest string) bool {
	for _, t := range tags {
		if t == "*" || t == digest {
			return true
		}
	}
	return false
}
