package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"berth/config"
)

// logs is where the process writes what it has to tell.
type logs struct {
	log    *slog.Logger
	access *slog.Logger // nil: none
	audit  *slog.Logger // nil: none

	level     slog.LevelVar
	logFile   logFile
	auditFile logFile
}

// openLogs opens the logs of a configuration.
func openLogs(cfg config.Log, stderr io.Writer) (*logs, error) {
	l := &logs{logFile: logFile{stderr: stderr}}
	if err := l.open(cfg); err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: &l.level}
	l.log = slog.New(l.handler(cfg.Format, opts))
	if cfg.Access != "off" {
		l.access = slog.New(l.handler(cfg.Access, nil))
	}
	if cfg.Audit != "" {
		l.audit = slog.New(handler("json", &l.auditFile, nil))
	}
	return l, nil
}

// handler returns that of the log's file; entries in text that would reach
// systemd's journal are sent there with their fields.
func (l *logs) handler(format string, opts *slog.HandlerOptions) slog.Handler {
	h := handler(format, &l.logFile, opts)
	if format == "json" || !intoJournal(l.logFile.stderr, os.Getenv) {
		return h
	}
	j, err := newJournal(journalSocket, &l.logFile, h)
	if err != nil {
		return h
	}
	return j
}

func handler(format string, w io.Writer, opts *slog.HandlerOptions) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// open opens the files again, perhaps other ones, and sets the level. Whether
// there is an audit log does not change. What cannot be opened goes on as it
// was.
func (l *logs) open(cfg config.Log) error {
	if err := l.level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return err
	}
	if err := l.logFile.open(cfg.Output); err != nil {
		return fmt.Errorf("log.output: %w", err)
	}
	if cfg.Audit == "" {
		return nil
	}
	if err := l.auditFile.open(cfg.Audit); err != nil {
		return fmt.Errorf("log.audit: %w", err)
	}
	return nil
}

// logFile is a file that is appended to and can be opened again while it is
// written to. Without a path it is standard error.
type logFile struct {
	stderr io.Writer

	mu   sync.Mutex // guards file
	file *os.File
}

func (f *logFile) open(path string) error {
	var file *os.File
	if path != "" {
		var err error
		if file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.file.Close()
	}
	f.file = file
	return nil
}

// named tells whether there is a file, rather than standard error.
func (f *logFile) named() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file != nil
}

func (f *logFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return f.stderr.Write(p)
	}
	return f.file.Write(p)
}
