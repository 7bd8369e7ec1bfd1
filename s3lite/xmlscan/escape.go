package xmlscan

import "strings"

// Escape writes a text so that it can stand between tags. Characters that XML
// cannot hold at all are written as references, which S3 reads.
func Escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '&':
			b.WriteString("&amp;")
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c == '"':
			b.WriteString("&quot;")
		case c < 0x20:
			b.WriteString("&#x" + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15]) + ";")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
