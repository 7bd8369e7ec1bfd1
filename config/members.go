package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// member is one key of a table that is a value, or a part of one.
type member struct {
	name string
	key  Key // how its value is converted; Allowed tells people
	to   any // a pointer to where the value goes
	// take takes the value over in place of key and to.
	take func(path string, e entry) error
}

// memberError is what is wrong with a part of a key's value.
type memberError struct {
	path    string // from the key on: ".policies[0].delay"
	at      entry
	message string
}

func (e *memberError) Error() string { return strings.TrimPrefix(e.path, ".") + ": " + e.message }

// refused reports what is wrong with a key's value, or with a part of it at the
// place where that stands.
func (r *reader) refused(path string, e entry, err error) {
	if m, ok := errors.AsType[*memberError](err); ok {
		r.problem(path+m.path, m.at, m.message)
		return
	}
	r.problem(path, e, err.Error())
}

// takeMembers takes over the keys of a table, whose path counts from the key
// that it is a part of.
func takeMembers(path string, e entry, members []member) error {
	t, ok := e.value.(table)
	if !ok {
		return &memberError{path, e, "want a table; got " + describe(e.value)}
	}
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	slices.Sort(names)
	seen := map[string]bool{}
	for _, e := range t {
		at := path + "." + e.name
		i := slices.IndexFunc(members, func(m member) bool { return strings.EqualFold(m.name, e.name) })
		switch {
		case i < 0:
			message := "unknown key"
			if n := nearest(e.name, names); n != "" {
				message += `; did you mean "` + n + `"?`
			}
			return &memberError{at, e, message + " (keys here: " + strings.Join(names, ", ") + ")"}
		case seen[members[i].name]:
			return &memberError{at, e, "it is there twice"}
		}
		seen[members[i].name] = true
		if err := members[i].assign(at, e); err != nil {
			return err
		}
	}
	return nil
}

func (m member) assign(path string, e entry) error {
	if m.take != nil {
		return m.take(path, e)
	}
	err := m.key.convert(m.to, e.value)
	if err == nil && m.key.check != nil {
		err = m.key.check(e.value)
	}
	if err != nil {
		return &memberError{path, e, m.key.explain(e.value, err).Error()}
	}
	return nil
}

// takeList calls take for each table of a list of at most maxPlaces.
func takeList(path string, e entry, take func(path string, e entry) error) error {
	members, ok := e.value.(list)
	switch {
	case !ok:
		return &memberError{path, e, "want a list of tables; got " + describe(e.value)}
	case len(members) > maxPlaces:
		return &memberError{path, e, fmt.Sprintf("there are %d, at most %d are allowed", len(members), maxPlaces)}
	}
	for i, value := range members {
		at, ok := value.(entry)
		if !ok {
			at = entry{line: e.line, value: value}
		}
		if err := take(fmt.Sprintf("%s[%d]", path, i), at); err != nil {
			return err
		}
	}
	return nil
}
