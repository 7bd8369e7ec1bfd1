package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	envPrefix  = "BERTH_"
	envSource  = "environment"
	flagSource = "command line"
)

// environ takes over the variables that begin with BERTH_.
func (l *loader) environ(environ []string) {
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) || isServiceLink(name, value) {
			continue
		}
		if message := l.variable(name, value); message != "" {
			l.problems = append(l.problems, Problem{Source: envSource, Key: name, Message: message})
		}
	}
}

// variable sets the key that a variable stands for; a message says why not.
func (l *loader) variable(name, value string) string {
	path := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "."))
	if k, ok := l.keys[path]; ok && name == k.Env() {
		if err := k.assign(l.config, text(value)); err != nil {
			return err.Error()
		}
		l.config.origins[path] = Problem{Source: envSource, Key: name}
		return ""
	}
	if l.isFeature(path) {
		return notInThisBuild
	}
	if k := l.tables(path); k != "" {
		return k + " can be set in a file only"
	}
	message := "unknown variable"
	if n := nearest(path, l.settable()); n != "" {
		message += `; did you mean "` + l.keys[n].Env() + `"?`
	}
	return message + " (a variable is BERTH_ and a key's path in capitals, with _ for each dot)"
}

// tables finds the key that a path in lower case is part of among those whose
// values hold tables.
func (l *loader) tables(path string) string {
	for lower, k := range l.keys {
		if k.entries != nil && (path == lower || strings.HasPrefix(path, lower+".")) {
			return k.Path
		}
	}
	return ""
}

// settable returns the paths, in lower case, that a variable can stand for.
func (l *loader) settable() []string {
	paths := slices.Collect(maps.Keys(l.keys))
	paths = slices.DeleteFunc(paths, func(path string) bool { return l.keys[path].entries != nil })
	slices.Sort(paths)
	return paths
}

// isFeature tells whether a path in lower case is part of a feature.
func (l *loader) isFeature(path string) bool {
	for {
		if _, ok := l.features[path]; ok {
			return true
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}

// isServiceLink tells whether Kubernetes or Docker set the variable, which
// they do in every container beside a service that is called berth.
func isServiceLink(name, value string) bool {
	const pattern = `^BERTH_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|NAME)$`
	linked, err := regexp.MatchString(pattern, name)
	return err == nil && linked && value != ""
}

// flags takes over what the command line says.
func (l *loader) flags(flags []Flag) {
	for _, f := range flags {
		lower := strings.ToLower(f.Key)
		k, ok := l.keys[lower]
		if !ok {
			panic("config: a flag sets the unknown key " + f.Key)
		}
		var value any = text(strings.Join(f.Values, ","))
		if len(f.Values) > 1 {
			members := make(list, len(f.Values))
			for i, v := range f.Values {
				members[i] = v
			}
			value = members
		}
		if err := k.assign(l.config, value); err != nil {
			l.problems = append(l.problems, Problem{Source: flagSource, Key: f.Name, Message: err.Error()})
			continue
		}
		l.config.origins[lower] = Problem{Source: flagSource, Key: f.Name}
	}
}
