package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxPlaces is how many subpaths, and how many directories of media, there may
// be: each is looked after while berth runs.
const maxPlaces = 256

// rawSubPath is what one entry of storage.subPaths says for itself.
type rawSubPath struct {
	prefix string
	origin Problem // where it stands
	set    []func(*Config)
	rooted bool // rootDirectory was set
}

// subPaths takes over storage.subPaths.
func (r *reader) subPaths(path string, e entry) {
	entries, ok := e.value.(table)
	if !ok {
		r.problem(path, e, "want a table of tables, by prefix; got "+describe(e.value))
		return
	}
	if len(entries) > maxPlaces {
		r.problem(path, e, fmt.Sprintf("there are %d, at most %d are allowed", len(entries), maxPlaces))
		return
	}
	first := map[string]entry{}
	for _, e := range entries {
		key := path + `."` + e.name + `"`
		prefix := strings.TrimPrefix(e.name, "/")
		settings, ok := e.value.(table)
		before, twice := first[prefix]
		switch reason := badRepo(prefix); {
		case reason != "":
			r.problem(key, e, "a prefix is the beginning of repository names, such as \"/archive\": "+reason)
		case twice:
			r.problem(key, e, fmt.Sprintf("the same prefix as %q", before.name))
		case !ok:
			r.problem(key, e, "want a table; got "+describe(e.value))
		default:
			first[prefix] = e
			r.subPath(key, prefix, e, settings)
		}
	}
}

// subPath takes over one entry of storage.subPaths.
func (r *reader) subPath(path, prefix string, e entry, settings table) {
	raw := rawSubPath{prefix: prefix, origin: Problem{Source: r.source, Line: e.line(), Key: path}}
	canonical := SubPath{Prefix: prefix}.Key("")
	r.inner(path, canonical, subPathKeys(), settings, func(k Key, value any) error {
		scratch := Default()
		if err := k.assign(scratch, value); err != nil {
			return err
		}
		raw.rooted = raw.rooted || k.Path == subPathsPath+".rootDirectory"
		raw.set = append(raw.set, func(c *Config) {
			// It has been checked just now.
			_ = k.assign(c, value)
		})
		return nil
	})
	if !raw.rooted && !containsKey(settings, "rootDirectory") {
		r.problem(path, e, "rootDirectory is missing: a subpath has a root of its own")
		return
	}
	r.raw = append(r.raw, raw)
}

func containsKey(t table, name string) bool {
	return slices.ContainsFunc(t, func(e entry) bool { return strings.EqualFold(e.name, name) })
}

// media takes over storage.media.
func (r *reader) media(path string, e entry) {
	members, ok := e.value.(list)
	if !ok {
		r.problem(path, e, "want a list of tables; got "+describe(e.value))
		return
	}
	if len(members) > maxPlaces {
		r.problem(path, e, fmt.Sprintf("there are %d, at most %d are allowed", len(members), maxPlaces))
		return
	}
	for i, member := range members {
		at, ok := member.(entry)
		if !ok {
			at = entry{line: e.line, value: member}
		}
		settings, ok := at.value.(table)
		key := fmt.Sprintf("%s[%d]", path, i)
		if !ok {
			r.problem(key, at, "want a table; got "+describe(at.value))
			continue
		}
		r.medium(key, i, at, settings)
	}
}

func (r *reader) medium(path string, i int, e entry, settings table) {
	scratch := Default()
	scratch.Storage.Media = []Medium{{}}
	r.inner(path, MediumKey(i, ""), mediaKeys(), settings, func(k Key, value any) error { return k.assign(scratch, value) })
	for _, needed := range []string{"path", "prefix"} {
		if !containsKey(settings, needed) {
			r.problem(path, e, needed+" is missing")
		}
	}
	m := scratch.Storage.Media[0]
	m.Prefix = strings.TrimPrefix(m.Prefix, "/")
	r.config.Storage.Media = append(r.config.Storage.Media, m)
}

// inner takes over the keys of one entry of a key whose value holds tables.
// canonical is what Config.Problem will be asked for.
func (r *reader) inner(path, canonical string, keys []Key, settings table, assign func(Key, any) error) {
	byName, names, tables := innerNames(keys)
	for _, e := range settings {
		key, lower := path+"."+e.name, strings.ToLower(e.name)
		k, known := byName[lower]
		_, later := r.features["storage."+lower]
		switch deeper, nested := e.value.(table); {
		case r.duplicate(strings.ToLower(key), key, e):
		case tables[lower] != nil && nested:
			r.inner(key, canonical+lower+".", tables[lower], deeper, assign)
		case tables[lower] != nil:
			r.problem(key, e, "want a table; got "+describe(e.value))
		case known:
			if err := assign(k, e.value); err != nil {
				r.refused(key, e, err)
				continue
			}
			r.config.origins[strings.ToLower(canonical)+lower] = Problem{Source: r.source, Line: e.line(), Key: key}
		case later:
			r.feature(key, e)
		default:
			r.unknownOf(names, path, key, e)
		}
	}
}

// innerNames sorts the keys of an entry: by their names in lower case, how
// people write them, and the keys of the tables in it, whose paths are one
// longer.
func innerNames(keys []Key) (byName map[string]Key, names []string, tables map[string][]Key) {
	byName, tables = map[string]Key{}, map[string][]Key{}
	depth := 0
	for i, k := range keys {
		if n := strings.Count(k.Path, "."); i == 0 || n < depth {
			depth = n
		}
	}
	for _, k := range keys {
		parts := strings.Split(k.Path, ".")
		name := parts[depth]
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if name = strings.ToLower(name); len(parts) > depth+1 {
			tables[name] = append(tables[name], k)
		} else {
			byName[name] = k
		}
	}
	slices.Sort(names)
	return byName, names, tables
}

// unknownOf is unknown for a key of an entry.
func (r *reader) unknownOf(names []string, section, path string, e entry) {
	message := "unknown key"
	if n := nearest(e.name, names); n != "" {
		message += `; did you mean "` + n + `"?`
	}
	r.problem(path, e, message+" (keys of "+section+": "+strings.Join(names, ", ")+")")
}

// resolve gives each subpath what the section storage says, and then what it
// says for itself.
func (l *loader) resolve() {
	forced := l.config.origins["storage.readonly"].Source == flagSource && l.config.Storage.ReadOnly
	for _, raw := range l.raw {
		scratch := &Config{Storage: Storage{Root: l.config.Storage.Root}}
		scratch.Storage.StorageDriver = StorageDriver{} // where a root lies is its own
		for _, set := range raw.set {
			set(scratch)
		}
		if forced {
			scratch.Storage.ReadOnly = true
		}
		l.config.Storage.SubPaths = append(l.config.Storage.SubPaths, SubPath{raw.prefix, scratch.Storage.Root})
	}
	slices.SortFunc(l.config.Storage.SubPaths, func(a, b SubPath) int { return strings.Compare(a.Prefix, b.Prefix) })
}

// checkPlaces finds names that two places claim.
func checkPlaces(s Storage) (key, message string) {
	for i, m := range s.Media {
		for _, sub := range s.SubPaths {
			if within(sub.Prefix, m.Prefix) {
				return MediumKey(i, "prefix"), fmt.Sprintf("%q collides with the subpath %q: media may bear any name below their prefix", m.Prefix, "/"+sub.Prefix)
			}
		}
		for j, other := range s.Media[:i] {
			if within(m.Prefix, other.Prefix) || within(other.Prefix, m.Prefix) {
				return MediumKey(i, "prefix"), fmt.Sprintf("%q collides with that of %s, %q", m.Prefix, MediumKey(j, "prefix"), other.Prefix)
			}
		}
	}
	return "", ""
}

// within tells whether a prefix is another one or begins with it.
func within(prefix, other string) bool {
	return prefix == other || strings.HasPrefix(prefix, other+"/")
}

// maxRepo is the longest name of a repository that clients take.
const maxRepo = 255

// badRepo says why s cannot be a repository's name (distribution-spec, Pulling
// manifests), nor the beginning of one; "" where it can.
func badRepo(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > maxRepo-2: // a repository below has to fit
		return fmt.Sprintf("it has more than %d bytes", maxRepo-2)
	}
	for component := range strings.SplitSeq(s, "/") {
		if !isComponent(component) {
			return fmt.Sprintf("%s is not lower-case letters and digits, joined by '.', '_', '__' or dashes", quote(component))
		}
	}
	return ""
}

func isComponent(s string) bool {
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	for {
		end := strings.IndexFunc(s, other)
		if end < 0 {
			return s != ""
		}
		gap := s[end:]
		next := strings.IndexFunc(gap, func(r rune) bool { return !other(r) })
		if end == 0 || next < 0 {
			return false
		}
		switch joint := gap[:next]; {
		case joint == ".", joint == "_", joint == "__", strings.Trim(joint, "-") == "":
		default:
			return false
		}
		s = gap[next:]
	}
}

func checkPrefix(value any) error {
	s, _ := word(value)
	if reason := badRepo(strings.TrimPrefix(s, "/")); reason != "" {
		return errors.New(reason)
	}
	return nil
}

func checkRepoOrEmpty(value any) error {
	if s, _ := word(value); s != "" {
		if reason := badRepo(s); reason != "" {
			return errors.New(reason)
		}
	}
	return nil
}

// Elsewhere tells of repositories whose names begin with a prefix, "" or one of
// a subpath with a slash at its end, whether they lie in another place than the
// root that it stands for.
func (s Storage) Elsewhere(prefix string) func(repo string) bool {
	var inner []string
	add := func(other string) {
		if other += "/"; len(other) > len(prefix) && strings.HasPrefix(other, prefix) {
			inner = append(inner, other)
		}
	}
	for _, sub := range s.SubPaths {
		add(sub.Prefix)
	}
	for _, m := range s.Media {
		add(m.Prefix)
	}
	return func(repo string) bool {
		return slices.ContainsFunc(inner, func(other string) bool { return strings.HasPrefix(repo, other) })
	}
}
