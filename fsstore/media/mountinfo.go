package media

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mountsFile lists the mounts that this process sees (proc(5)).
const mountsFile = "/proc/self/mountinfo"

// mountPoint is one line of mountinfo.
type mountPoint struct {
	id     int
	device string // major:minor
	root   string // the directory of its file system that is mounted
	path   string
	fsType string
	source string // often /dev/…
}

// readMounts returns the mounts by their path; of several at one path, the
// one on top.
func readMounts() (map[string]mountPoint, error) {
	content, err := os.ReadFile(mountsFile)
	if err != nil {
		return nil, err
	}
	return parseMounts(content), nil
}

// parseMounts reads mountinfo; lines that are not understood are passed over.
func parseMounts(content []byte) map[string]mountPoint {
	mounts := map[string]mountPoint{}
	for line := range bytes.Lines(content) {
		if m, ok := parseMount(string(line)); ok {
			mounts[m.path] = m
		}
	}
	return mounts
}

// parseMount reads a line such as
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func parseMount(line string) (mountPoint, bool) {
	before, after, found := strings.Cut(line, " - ")
	fields, more := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 5 || len(more) < 2 {
		return mountPoint{}, false
	}
	id, err := strconv.Atoi(fields[0])
	if err != nil {
		return mountPoint{}, false
	}
	m := mountPoint{
		id: id, device: fields[2], root: unescape(fields[3]), path: unescape(fields[4]),
		fsType: more[0], source: unescape(more[1]),
	}
	return m, filepath.IsAbs(m.path)
}

// unescape undoes the kernel's \ooo for blanks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// isBelow reports whether path lies below dir; both are clean.
func isBelow(path, dir string) bool {
	if dir == "/" {
		return path != "/"
	}
	return strings.HasPrefix(path, dir+"/")
}

// holder returns the mount that holds path.
func holder(mounts map[string]mountPoint, path string) (mountPoint, bool) {
	for {
		if m, ok := mounts[path]; ok {
			return m, true
		}
		if path == "/" || path == "." {
			return mountPoint{}, false
		}
		path = filepath.Dir(path)
	}
}
