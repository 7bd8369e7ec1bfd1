package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"berth/bench/probe"
	"berth/bench/report"
)

const intro = `# Benchmarks

Written by ` + "`make bench`" + `: berth beside Debian's docker-registry and nginx, in one run on one machine over loopback. Absolute numbers belong to that machine; the ratios are what counts.

`

// writePage writes the page with the table, the machine and the notes.
func writePage(s *settings, lines []report.Line) error {
	notes, err := os.ReadFile(s.notes)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(intro)
	report.Markdown(&b, lines)
	b.WriteString("\n± is half the range of the turns, relative to their median.\n\n## Machine\n\n")
	for _, fact := range machine(s) {
		fmt.Fprintf(&b, "- %s\n", fact)
	}
	b.WriteString("\n")
	b.Write(notes)
	return os.WriteFile(s.out, b.Bytes(), 0o644)
}

// machine describes what was measured, and where.
func machine(s *settings) []string {
	pinned := "servers and clients on any processor"
	if s.env.CPU >= 0 {
		pinned = fmt.Sprintf("every server pinned to processor %d, the clients to the others", s.env.CPU)
	}
	groups := "none: dirty pages unknown"
	if g, err := probe.NewGroup(filepath.Base(s.env.Dir)+"-version", 0); err == nil {
		groups = g.Version()
		_ = g.Close() // empty: nothing holds it
	}
	return []string{
		fmt.Sprintf("%s, %d processors, %s of memory", probe.Model(), probe.CPUs(), report.MiB(float64(probe.Total()))),
		fmt.Sprintf("Linux %s, TCP congestion control %s, data on %s, memory groups: %s", probe.Kernel(), probe.Congestion(), probe.FileSystem(absolute(s.env.Dir)), groups),
		fmt.Sprintf("%d turns of %s each; %s; load average before: %s", s.env.Rounds, s.env.Time, pinned, s.load),
		"berth: " + version(s.env.Berth, "--version"),
		"docker-registry: " + version("docker-registry", "--version"),
		"nginx: " + version("nginx", "-v"),
		"measured on " + time.Now().UTC().Format(time.DateOnly),
	}
}

func absolute(dir string) string {
	if path, err := filepath.Abs(dir); err == nil {
		return path
	}
	return dir
}

// version is the first line that a program says of itself.
func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
