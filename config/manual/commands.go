package manual

import (
	"regexp"
	"slices"
	"strings"
)

// Commands is what the text of berth help tells.
type Commands struct {
	Summary  string
	Synopsis []string // one command a string, without the program's name
	Verbs    []Verb   // in the order of the synopsis
	Notes    []string // paragraphs
}

// Verb is one command of berth.
type Verb struct {
	Name  string
	Text  string // what it does, a paragraph
	Flags []Flag // in the order of the synopsis
}

// Flag is a flag of a verb.
type Flag struct {
	Name  string // with its dashes
	Value string // what it takes; "": nothing
	Text  string
}

var (
	verbLine   = regexp.MustCompile(`^([a-z][a-z-]*)(?:\s+(\S.*))?$`)
	flagLine   = regexp.MustCompile(`^\s+(--[a-z-]+)(?: ([A-Z][^ ]*))?(?:\s+(.*))?$`)
	clauseEnd  = regexp.MustCompile(`[.;:]( |$)`)
	inSynopsis = regexp.MustCompile(`(--[a-z-]+)(?: ([A-Z][^\s]*))?`)
)

// Parse reads the text of berth help: a line of summary; after "usage:", the
// synopsis, each command beginning with the program's name and perhaps going on
// in deeper lines; a paragraph of verbs, each at the beginning of its line with
// its text to the right or in deeper lines, and flags in lines of their own
// that begin with two dashes; then paragraphs.
func Parse(help string) Commands {
	parts := strings.Split(strings.TrimSpace(help), "\n\n")
	c := Commands{Summary: strings.TrimSuffix(parts[0], ".")}
	texts := map[string]*Verb{}
	for _, part := range parts[1:] {
		lines := strings.Split(part, "\n")
		switch {
		case lines[0] == "usage:":
			c.Synopsis = synopsis(lines[1:])
		case len(texts) == 0:
			texts = verbs(lines)
		default:
			c.Notes = append(c.Notes, join(lines))
		}
	}
	for _, line := range c.Synopsis {
		name, rest, _ := strings.Cut(line, " ")
		v := Verb{Name: name}
		if told := texts[name]; told != nil {
			v.Text = told.Text
			v.Flags = told.Flags
		}
		for _, m := range inSynopsis.FindAllStringSubmatch(rest, -1) {
			if !slices.ContainsFunc(v.Flags, func(f Flag) bool { return f.Name == m[1] }) {
				v.Flags = append(v.Flags, Flag{Name: m[1], Value: strings.TrimRight(m[2], "].,")})
			}
		}
		if i := slices.IndexFunc(c.Verbs, func(o Verb) bool { return o.Name == name }); i < 0 {
			c.Verbs = append(c.Verbs, v)
		} else {
			c.Verbs[i].Flags = append(c.Verbs[i].Flags, missing(v.Flags, c.Verbs[i].Flags)...)
		}
	}
	return c
}

// missing returns those of a that b lacks.
func missing(a, b []Flag) []Flag {
	return slices.DeleteFunc(slices.Clone(a), func(f Flag) bool {
		return slices.ContainsFunc(b, func(o Flag) bool { return o.Name == f.Name })
	})
}

func synopsis(lines []string) []string {
	var all []string
	for _, line := range lines {
		rest, first := strings.CutPrefix(strings.TrimSpace(line), "berth ")
		if first || len(all) == 0 {
			all = append(all, rest)
		} else {
			all[len(all)-1] += " " + rest
		}
	}
	return all
}

func verbs(lines []string) map[string]*Verb {
	all := map[string]*Verb{}
	var verb *Verb
	var flag *Flag
	for _, line := range lines {
		text := strings.TrimSpace(line)
		if m := verbLine.FindStringSubmatch(line); m != nil {
			verb, flag = &Verb{Name: m[1], Text: m[2]}, nil
			all[verb.Name] = verb
			continue
		}
		if verb == nil {
			continue
		}
		if m := flagLine.FindStringSubmatch(line); m != nil {
			verb.Flags = append(verb.Flags, Flag{Name: m[1], Value: m[2], Text: m[3]})
			flag = &verb.Flags[len(verb.Flags)-1]
			continue
		}
		if flag != nil && indent(line) >= 20 {
			flag.Text = strings.TrimSpace(flag.Text + " " + text)
		} else {
			flag = nil
			verb.Text = strings.TrimSpace(verb.Text + " " + text)
		}
	}
	return all
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func join(lines []string) string {
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " ")
}

// short is the first sentence or clause of what a verb or flag does.
func short(text string) string {
	return clauseEnd.Split(text, 2)[0]
}
