package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"berth/config"
	"berth/tasks"
	"berth/tasks/admin"
)

// adminVerbs is what a running server does for commands of other processes.
func (p *process) adminVerbs() map[string]admin.Handler {
	return map[string]admin.Handler{
		"gc":    p.collectGarbage,
		"tasks": p.listTasks,
		"scrub": p.scrubAll,
	}
}

// adminLine is one line of a command that runs jobs: how far one is, or what
// came of it.
type adminLine struct {
	Progress *tasks.Status `json:"progress,omitempty"`
	Report   any           `json:"report,omitempty"`
}

// progressTo sends a job's progress to whoever waits for it.
func progressTo(out func(any) error) func(tasks.Status) {
	return func(s tasks.Status) { _ = out(adminLine{Progress: &s}) } // who has left ends the context
}

// adminSocket is the path of the admin socket, "" where there is none.
func adminSocket(cfg *config.Config) string {
	switch at := cfg.Admin.Socket; {
	case at == config.AdminOff:
		return ""
	case at != "":
		return at
	case cfg.Storage.ReadOnly:
		return ""
	}
	return filepath.Join(cfg.Storage.RootDirectory, ".berth", "admin.sock")
}

// openAdmin makes the admin socket, nil where there is none. Only one that the
// configuration names has to be possible: a root may lie on a file system that
// knows no sockets.
func (p *process) openAdmin(ctx context.Context) (*admin.Server, error) {
	path := adminSocket(p.cfg)
	if path == "" || p.cfg.Admin.Socket == "" && p.stores.readOnly {
		return nil, nil
	}
	s, err := admin.Listen(ctx, admin.Options{Path: path, Verbs: p.adminVerbs(), Log: p.log})
	if err != nil && p.cfg.Admin.Socket == "" {
		p.log.Warn("commands cannot ask this server: name another path by admin.socket", "error", err)
		return nil, nil
	}
	return s, err
}

// askServer has the server that runs with a configuration do a verb, if there
// is one: otherwise the error is admin.ErrNoServer. line gets each of its lines.
func askServer(ctx context.Context, cfg *config.Config, verb string, args []string, line func(json.RawMessage) error) error {
	path := adminSocket(cfg)
	switch {
	case path != "":
	case cfg.Admin.Socket == config.AdminOff:
		return fmt.Errorf("%w that can be asked: admin.socket is off", admin.ErrNoServer)
	default:
		return fmt.Errorf("%w that can be asked: a read-only root has no socket for it; name another place by admin.socket", admin.ErrNoServer)
	}
	return admin.Call(ctx, path, verb, args, line)
}
