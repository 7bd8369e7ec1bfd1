package config

import (
	"fmt"
	"slices"
	"strings"
)

// reader takes a file's tree over into a loader's configuration.
type reader struct {
	*loader
	source   string
	problems Error          // hides the loader's: the file's own are sorted first
	more     int            // problems that were only counted
	seen     map[string]int // lines of what was set, by path in lower case
}

// maxProblems bounds a report; a file with more mistakes is probably of
// another program.
const maxProblems = 50

// report returns the problems in the order of the file's lines.
func (r *reader) report() Error {
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
	if r.more > 0 {
		r.problems = append(r.problems, Problem{Source: r.source, Message: fmt.Sprintf("%d more problems", r.more)})
	}
	return r.problems
}

// table takes the keys of one table; section is its path, "" for the file.
func (r *reader) table(section string, t table) {
	for _, e := range t {
		path := e.name
		if section != "" {
			path = section + "." + e.name
		}
		lower := strings.ToLower(path)
		if strings.Contains(e.name, ".") {
			r.unknown(section, path, e)
			continue
		}
		if r.duplicate(lower, path, e) {
			continue
		}
		if spelling, ok := r.sections[lower]; ok {
			r.section(spelling, path, e)
		} else if k, ok := r.keys[lower]; ok {
			r.key(k, path, e)
		} else if _, ok := r.features[lower]; ok {
			r.feature(path, e)
		} else {
			r.unknown(section, path, e)
		}
	}
}

func (r *reader) problem(key string, e entry, message string) {
	if r.full() {
		r.more++
		return
	}
	r.problems = append(r.problems, Problem{Source: r.source, Line: e.line(), Key: key, Message: message})
}

// full tells that further problems are only counted: their lines, and what
// they may have been meant to be, would be costly to find.
func (r *reader) full() bool { return len(r.problems) >= maxProblems }

func (r *reader) duplicate(lower, path string, e entry) bool {
	first, dup := r.seen[lower]
	if !dup {
		r.seen[lower] = 0
		if r.known(lower) {
			r.seen[lower] = e.line()
		}
		return false
	}
	message := "set twice; keys match without regard to case"
	if first > 0 && !r.full() {
		line := e.line()
		message = fmt.Sprintf("set in line %d already; keys match without regard to case", min(line, first))
		e.line = func() int { return max(line, first) }
	}
	r.problem(path, e, message)
	return true
}

func (r *reader) known(lower string) bool {
	_, key := r.keys[lower]
	_, section := r.sections[lower]
	return key || section
}

func (r *reader) section(spelling, path string, e entry) {
	t, ok := e.value.(table)
	if !ok {
		r.problem(path, e, "want a table; got "+describe(e.value))
		return
	}
	r.table(spelling, t)
}

func (r *reader) key(k Key, path string, e entry) {
	if k.entries != nil {
		r.config.origins[strings.ToLower(k.Path)] = Problem{Source: r.source, Line: e.line(), Key: path}
		k.entries(r, path, e)
		return
	}
	if err := k.assign(r.config, e.value); err != nil {
		r.refused(path, e, err)
		return
	}
	r.config.origins[strings.ToLower(k.Path)] = Problem{Source: r.source, Line: r.seen[strings.ToLower(k.Path)], Key: path}
}

func (r *reader) feature(path string, e entry) {
	r.problem(path, e, notInThisBuild)
}

func (r *reader) unknown(section, path string, e entry) {
	message := "unknown key"
	if r.full() {
		r.problem(path, e, message)
		return
	}
	if n := nearest(path, r.suggestions()); n != "" {
		message += `; did you mean "` + n + `"?`
	}
	if names := r.names(section); len(names) > 0 {
		where := section
		if where == "" {
			where = "the top level"
		}
		message += " (keys of " + where + ": " + strings.Join(names, ", ") + ")"
	}
	r.problem(path, e, message)
}

// suggestions returns what a mistyped key may have been meant to be.
func (l *loader) suggestions() []string {
	all := l.paths()
	for _, f := range l.features {
		all = append(all, f.path)
	}
	return all
}

const notInThisBuild = "not in this build: take the key out"
