package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"berth/config/client"
	"berth/fsstore/durable"

	"golang.org/x/sys/unix"
)

// clientArgs are the arguments of client-config.
type clientArgs struct {
	kind, registry, ca, mirrors, root string
	plain, write, force               bool
}

// clientConfig prints or installs what makes a client pull through berth.
func clientConfig(args []string, stdout io.Writer) error {
	a, err := parseClientArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	}
	if err != nil {
		return usageError("berth client-config: " + strings.Replace(err.Error(), ": -", ": --", 1) + "; see berth help")
	}
	setup := client.Setup{
		Registry: a.registry,
		Plain:    a.plain || a.ca == "" && isLoopback(a.registry),
		Mirrors:  parseMirrors(a.mirrors),
	}
	if a.ca != "" {
		if setup.CA, err = os.ReadFile(a.ca); err != nil {
			return fmt.Errorf("berth client-config: --ca: %w", err)
		}
	}
	plan, err := client.Make(a.kind, setup)
	if err != nil {
		return usageError("berth client-config: " + err.Error() + "; see berth help")
	}
	if !a.write {
		return printPlan(stdout, plan)
	}
	// Clients of any user read these files, whatever the shell's umask is.
	defer unix.Umask(unix.Umask(0o022))
	if err := installPlan(stdout, plan, a.root, a.force); err != nil {
		return fmt.Errorf("berth client-config: %w", err)
	}
	return printNotes(stdout, plan)
}

func parseClientArgs(args []string) (clientArgs, error) {
	var a clientArgs
	flags := flag.NewFlagSet("client-config", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.kind, "for", "", "")
	flags.StringVar(&a.registry, "registry", "127.0.0.1:5000", "")
	flags.StringVar(&a.ca, "ca", "", "")
	flags.StringVar(&a.mirrors, "mirror", "docker.io", "")
	flags.StringVar(&a.root, "root", "/", "")
	flags.BoolVar(&a.plain, "plain-http", false, "")
	flags.BoolVar(&a.write, "write", false, "")
	flags.BoolVar(&a.force, "force", false, "")
	switch err := flags.Parse(args); {
	case err != nil:
		return a, err
	case flags.NArg() > 0:
		return a, fmt.Errorf("takes no argument such as %q", flags.Arg(0))
	case a.kind == "":
		return a, errors.New("--for is missing: one of " + strings.Join(client.Kinds(), ", "))
	}
	return a, nil
}

// parseMirrors reads a list of UPSTREAM or UPSTREAM=PREFIX.
func parseMirrors(list string) []client.Mirror {
	var mirrors []client.Mirror
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			upstream, prefix, _ := strings.Cut(part, "=")
			mirrors = append(mirrors, client.Mirror{Upstream: upstream, Prefix: strings.Trim(prefix, "/")})
		}
	}
	return mirrors
}

// isLoopback tells whether a registry is on this machine for certain: berth
// speaks HTTP there by default, and clients expect that.
func isLoopback(registry string) bool {
	name, _, err := net.SplitHostPort(registry)
	if err != nil {
		name = strings.Trim(registry, "[]")
	}
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback()
}

func printPlan(w io.Writer, plan client.Plan) error {
	var b strings.Builder
	for _, f := range plan.Files {
		fmt.Fprintf(&b, "==> %s <==\n%s\n", f.Path, f.Content)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return printNotes(w, plan)
}

func printNotes(w io.Writer, plan client.Plan) error {
	for _, n := range plan.Notes {
		if _, err := fmt.Fprintln(w, "note: "+n); err != nil {
			return err
		}
	}
	return nil
}

// change is one file of a plan that is to be written.
type change struct {
	path    string // where it is, below the root
	content string
}

// installPlan writes the files of a plan below root: all, or none where one
// must not be replaced. What is replaced is kept beside it.
func installPlan(w io.Writer, plan client.Plan, root string, force bool) error {
	var changes []change
	var refused []error
	for _, f := range plan.Files {
		c, err := plannedChange(f, filepath.Join(root, f.Path), force)
		switch {
		case err != nil:
			refused = append(refused, err)
		case c == nil:
			fmt.Fprintln(w, "unchanged "+filepath.Join(root, f.Path))
		default:
			changes = append(changes, *c)
		}
	}
	if err := errors.Join(refused...); err != nil {
		return err
	}
	for _, c := range changes {
		backup, err := c.write()
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", c.path, err)
		}
		if backup != "" {
			fmt.Fprintln(w, "kept      "+backup)
		}
		fmt.Fprintln(w, "wrote     "+c.path)
	}
	return nil
}

// plannedChange returns nil where the file is as it should be.
func plannedChange(f client.File, path string, force bool) (*change, error) {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil && !force {
			return nil, fmt.Errorf("%s is a symbolic link to nowhere: remove it, or replace it by --force", path)
		}
		return &change{path: path, content: f.Content}, nil
	}
	if err != nil {
		return nil, err
	}
	c := &change{path: path, content: f.Content}
	if f.Merge != nil {
		if c.content, err = f.Merge(old); err != nil {
			return nil, fmt.Errorf("%s: %w; correct it first", path, err)
		}
	}
	if bytes.Equal(old, []byte(c.content)) {
		return nil, nil
	}
	if f.Merge == nil && !client.Written(old) && !force {
		return nil, fmt.Errorf("%s was not written by berth client-config: merge by hand what it prints without --write, or replace the file by --force (it is kept as %s.bak)", path, filepath.Base(path))
	}
	return c, nil
}

// write replaces the file, durably and at once, and returns the path of what it
// kept of the old one.
func (c change) write() (backup string, err error) {
	dir, name := filepath.Split(c.path)
	root, err := durable.OpenRoot(dir, true)
	if err != nil {
		return "", err
	}
	defer root.Close()
	temporary := "." + name + ".berth-new"
	if err := root.Remove(temporary); err != nil && !durable.IsMissing(err) {
		return "", err
	}
	if err := durable.WriteTemp(root, temporary, []byte(c.content), true); err != nil {
		return "", err
	}
	if info, err := os.Stat(c.path); err == nil {
		if err := os.Chmod(filepath.Join(dir, temporary), info.Mode().Perm()); err != nil {
			return "", err
		}
		kept, err := keep(root, name)
		if err != nil {
			return "", err
		}
		backup = filepath.Join(dir, kept)
	}
	if err := root.Rename(temporary, name); err != nil {
		return backup, err
	}
	return backup, root.SyncDir(".")
}

// keep gives a file a further name, one that is free.
func keep(root *durable.Root, name string) (string, error) {
	kept := name + ".bak"
	for n := 1; ; n++ {
		err := root.Link(name, kept)
		if !errors.Is(err, fs.ErrExist) {
			return kept, err
		}
		kept = fmt.Sprintf("%s.bak.%d", name, n)
	}
}
