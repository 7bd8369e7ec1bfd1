package media

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// labelsDir holds a link to the device of each volume that has a label, made
// by udev.
const labelsDir = "/dev/disk/by-label"

// volumeLabel returns the label of a mounted volume, "" where it has none or
// that cannot be found out. A part of a file system that is mounted apart has
// none.
func volumeLabel(m mountPoint) string {
	if m.root != "/" || !strings.HasPrefix(m.source, "/dev/") {
		return ""
	}
	if label := labelOf(labelsDir, m.source); label != "" {
		return label
	}
	return labelByIoctl(m.path)
}

// labelOf looks for a device among the links of udev.
func labelOf(dir, device string) string {
	device = realPath(device)
	links, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, link := range links {
		if realPath(filepath.Join(dir, link.Name())) == device {
			return unescapeHex(link.Name())
		}
	}
	return ""
}

func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// unescapeHex undoes udev's \xhh.
func unescapeHex(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if i+4 <= len(s) && s[i] == '\\' && s[i+1] == 'x' {
			hi, lo := strings.IndexByte(hexDigits, s[i+2]), strings.IndexByte(hexDigits, s[i+3])
			if hi >= 0 && lo >= 0 {
				out.WriteByte(byte(hi<<4 | lo))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

const hexDigits = "0123456789abcdef"

// fsIocGetLabel is FS_IOC_GETFSLABEL of linux/fs.h, _IOR(0x94, 49, char[256]).
// The direction bits, and with them the number, are the same on all
// architectures that berth is built for.
const fsIocGetLabel = 0x81009431

// labelByIoctl asks the file system itself, which has to be opened for it.
func labelByIoctl(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var label [256]byte
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocGetLabel, uintptr(unsafe.Pointer(&label[0])))
	if errno != 0 {
		return ""
	}
	name, _, _ := bytes.Cut(label[:], []byte{0})
	return string(name)
}
