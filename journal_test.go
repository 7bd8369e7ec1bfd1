package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/config"

	"golang.org/x/sys/unix"
)

// journald plays systemd's journal.
func journald(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, path
}

func entry(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestJournal(t *testing.T) {
	conn, path := journald(t)
	var stderr bytes.Buffer
	file := &logFile{stderr: &stderr}
	h, err := newJournal(path, file, slog.NewTextHandler(file, nil))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)

	log.Warn("a subpath is not available", "subpath", "/usb", "error", errors.New("no such disk"))
	want := "PRIORITY=4\nSYSLOG_IDENTIFIER=berth\nBERTH_SUBPATH=/usb\nBERTH_ERROR=no such disk\n" +
		"MESSAGE=a subpath is not available subpath=/usb error=\"no such disk\"\n"
	if got := entry(t, conn); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}

	log.With("a-b", 1).WithGroup("in").With("x", 2).Error("m", slog.Group("deep", "y", 3), "lines", "1\n2")
	want = "PRIORITY=3\nSYSLOG_IDENTIFIER=berth\nBERTH_A_B=1\nBERTH_IN_X=2\nBERTH_IN_DEEP_Y=3\n" +
		"BERTH_IN_LINES\n\x03\x00\x00\x00\x00\x00\x00\x001\n2\n" +
		"MESSAGE=m a-b=1 in.x=2 in.deep.y=3 in.lines=\"1\\n2\"\n"
	if got := entry(t, conn); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	log.Debug("below the level")
	log.Info("", strings.Repeat("k", 60), "no name for a field")
	if got := entry(t, conn); !strings.HasPrefix(got, "PRIORITY=6\nSYSLOG_IDENTIFIER=berth\nMESSAGE= kkk") {
		t.Errorf("got %q", got)
	}
	if stderr.Len() > 0 {
		t.Errorf("on standard error: %s", &stderr)
	}

	conn.Close() // journald is away: nothing is lost
	log.Info("alone", "key", "value")
	if !strings.Contains(stderr.String(), "msg=alone key=value") {
		t.Errorf("on standard error: %s", &stderr)
	}
}

// TestJournalYieldsToAFile: a log that has a file does not go to the journal.
func TestJournalYieldsToAFile(t *testing.T) {
	_, path := journald(t)
	file := &logFile{stderr: os.Stderr}
	h, err := newJournal(path, file, slog.NewTextHandler(file, nil))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "log")
	if err := file.open(name); err != nil {
		t.Fatal(err)
	}
	slog.New(h).Info("into the file")
	if content, err := os.ReadFile(name); err != nil || !strings.Contains(string(content), "into the file") {
		t.Errorf("%q, %v", content, err)
	}
}

// TestIntoJournal: only the very stream that systemd set up counts.
func TestIntoJournal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	of := func(value string) func(string) string { return func(string) string { return value } }
	right := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	if !intoJournal(file, of(right)) {
		t.Error("the journal's stream is not seen")
	}
	if intoJournal(file, of("")) || intoJournal(file, of("8:1")) || intoJournal(&bytes.Buffer{}, of(right)) {
		t.Error("something else is taken for the journal's stream")
	}
	l, err := openLogs(config.Log{Level: "info", Format: "text", Access: "off"}, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.log.Handler().(*journal); ok {
		t.Error("without JOURNAL_STREAM the log goes to the journal")
	}
	t.Setenv("JOURNAL_STREAM", right)
	l, err = openLogs(config.Log{Level: "info", Format: "text", Access: "text"}, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []*slog.Logger{l.log, l.access} {
		if _, ok := log.Handler().(*journal); !ok {
			t.Errorf("%T, not the journal", log.Handler())
		}
	}
	if l, err = openLogs(config.Log{Level: "info", Format: "json", Access: "off"}, file); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.log.Handler().(*journal); ok {
		t.Error("JSON goes to the journal")
	}
}
