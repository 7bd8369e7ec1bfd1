package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// journalSocket is where systemd's journal takes entries with fields.
const journalSocket = "/run/systemd/journal/socket"

// intoJournal tells whether what is written to stderr reaches systemd's
// journal. JOURNAL_STREAM names the device and inode of the stream that systemd
// set up, so that a program that stderr was redirected to, or into, is told
// apart (systemd.exec(5)).
func intoJournal(stderr io.Writer, getenv func(string) string) bool {
	file, ok := stderr.(*os.File)
	if !ok || getenv("JOURNAL_STREAM") == "" {
		return false
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return false
	}
	return getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journal sends entries to systemd's journal, in its own protocol: each is one
// datagram, with the level as its priority and every attribute as a field
// BERTH_KEY, so that journalctl can filter by them. What cannot be sent, since
// journald is away or the entry too large, goes the way of other logs.
//
// It holds while the log goes to stderr; a log that a reload puts into a file
// is written there.
type journal struct {
	conn  *net.UnixConn // not connected: journald may start anew
	addr  *net.UnixAddr
	file  *logFile
	other slog.Handler // writes to file
	attrs []slog.Attr  // with their groups in their keys
	group string       // prefix of further keys: "", or groups with a dot after each
}

var _ slog.Handler = (*journal)(nil)

// newJournal returns a handler that sends to the socket of the given path.
func newJournal(path string, file *logFile, other slog.Handler) (*journal, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &journal{conn: conn, addr: &net.UnixAddr{Name: path, Net: "unixgram"}, file: file, other: other}, nil
}

// Enabled is that of the other handler, which knows the level.
func (j *journal) Enabled(ctx context.Context, level slog.Level) bool {
	return j.other.Enabled(ctx, level)
}

// WithAttrs and WithGroup return handlers that add to every entry.
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *j
	next.other = j.other.WithAttrs(attrs)
	next.attrs = slices.Clone(j.attrs)
	for _, a := range attrs {
		next.attrs = appendFlat(next.attrs, j.group, a)
	}
	return &next
}

// WithGroup is described at WithAttrs.
func (j *journal) WithGroup(name string) slog.Handler {
	if name == "" {
		return j
	}
	next := *j
	next.other, next.group = j.other.WithGroup(name), j.group+name+"."
	return &next
}

// Handle sends one entry.
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	if j.file.named() {
		return j.other.Handle(ctx, r)
	}
	attrs := slices.Clone(j.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendFlat(attrs, j.group, a)
		return true
	})
	if _, err := j.conn.WriteToUnix(journalEntry(r, attrs), j.addr); err != nil {
		return j.other.Handle(ctx, r)
	}
	return nil
}

// appendFlat appends an attribute, or those of a group with its name before
// theirs.
func appendFlat(to []slog.Attr, group string, a slog.Attr) []slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() != slog.KindGroup {
		return append(to, slog.Attr{Key: group + a.Key, Value: a.Value})
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	for _, inner := range a.Value.Group() {
		to = appendFlat(to, group, inner)
	}
	return to
}

// journalEntry is an entry as the journal takes it. Its message has the
// attributes, too: it is what most people see.
func journalEntry(r slog.Record, attrs []slog.Attr) []byte {
	message := r.Message
	fields := appendField(nil, "PRIORITY", strconv.Itoa(priority(r.Level)))
	fields = appendField(fields, "SYSLOG_IDENTIFIER", "berth")
	for _, a := range attrs {
		value := a.Value.String()
		if name := fieldName(a.Key); name != "" {
			fields = appendField(fields, name, value)
		}
		if value == "" || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == '"' || c == 0x7f }) {
			value = strconv.Quote(value)
		}
		message += " " + a.Key + "=" + value
	}
	return appendField(fields, "MESSAGE", message)
}

// appendField appends a field: in one line, or with its length where the value
// has several.
func appendField(to []byte, name, value string) []byte {
	to = append(to, name...)
	if strings.Contains(value, "\n") {
		to = append(to, '\n')
		to = binary.LittleEndian.AppendUint64(to, uint64(len(value)))
	} else {
		to = append(to, '=')
	}
	return append(append(to, value...), '\n')
}

// fieldName is the journal's name for an attribute: capitals, digits and _, 64
// characters at most.
func fieldName(key string) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
	if name == "" || len(name) > 64-len("BERTH_") {
		return ""
	}
	return "BERTH_" + name
}

// priority is syslog's for a level.
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	case level >= slog.LevelInfo:
		return 6
	}
	return 7
}
