package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sources is where a configuration comes from; later fields win over earlier
// ones.
type Sources struct {
	File    string   // "": none
	Environ []string // as os.Environ returns it
	Flags   []Flag
}

// Flag is a key that was set on the command line.
type Flag struct {
	Name   string // as it was written there, "--root"
	Key    string
	Values []string
}

// Load makes the configuration. The error is an Error.
func Load(from Sources) (*Config, error) {
	l := newLoader()
	if from.File != "" {
		l.file(from.File)
	}
	l.environ(from.Environ)
	l.flags(from.Flags)
	if len(l.problems) == 0 {
		l.resolve()
		implyScrub(l.config)
		l.together()
	}
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return l.config, nil
}

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes, which no configuration is", maxFile)
	}
	return data, err
}

// parse reads a file's content: what its name says it is, and else JSON where
// it begins with a brace, which no TOML document does.
func parse(name string, data []byte) (table, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	ext := strings.ToLower(filepath.Ext(name))
	if ext == ".json" || ext != ".toml" && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return parseJSON(data)
	}
	return parseTOML(data)
}

// loader gathers a configuration and what is wrong with it.
type loader struct {
	config   *Config
	problems Error

	raw []rawSubPath // until resolve

	keys     map[string]Key     // by path in lower case
	sections map[string]string  // by path in lower case: its spelling
	features map[string]feature // by path in lower case
}

func newLoader() *loader {
	l := &loader{
		config: Default(),
		keys:   map[string]Key{}, sections: map[string]string{"extensions": "extensions"}, features: map[string]feature{},
	}
	for _, k := range keys() {
		l.keys[strings.ToLower(k.Path)] = k
		for i, r := range k.Path {
			if r == '.' {
				l.sections[strings.ToLower(k.Path[:i])] = k.Path[:i]
			}
		}
	}
	for _, f := range features() {
		l.features[strings.ToLower(f.path)] = f
	}
	return l
}

func (l *loader) file(path string) {
	data, err := readFile(path)
	if err != nil {
		l.problems = append(l.problems, Problem{Source: path, Message: "cannot be read: " + plain(err)})
		return
	}
	l.problems = append(l.problems, l.content(path, data)...)
}

// content takes over what a file says.
func (l *loader) content(path string, data []byte) Error {
	root, err := parse(path, data)
	if err != nil {
		p := Problem{Source: path, Message: err.Error()}
		if se, ok := errors.AsType[*syntaxError](err); ok {
			p.Line = se.line
		}
		return Error{p}
	}
	r := &reader{loader: l, source: path, seen: map[string]int{}}
	r.table("", root)
	return r.report()
}

// together checks the values against one another.
func (l *loader) together() {
	if key, message := checkTogether(l.config); key != "" {
		l.problems = append(l.problems, l.config.Problem(key, message))
	}
}

// names returns what a section may hold, in order.
func (l *loader) names(section string) []string {
	var out []string
	for _, path := range l.paths() {
		if i := strings.LastIndexByte(path, '.'); strings.EqualFold(path[:max(i, 0)], section) {
			out = append(out, path[i+1:])
		}
	}
	slices.Sort(out)
	return out
}

// paths returns every key and section.
func (l *loader) paths() []string {
	var out []string
	for _, k := range l.keys {
		out = append(out, k.Path)
	}
	for _, s := range l.sections {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
