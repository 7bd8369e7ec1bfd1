package manual

import (
	"fmt"
	"slices"
	"strings"

	"berth/config"
)

const preface = `# The configuration of berth. Every key is here, commented out with its default
# or, where it has none, with an example. berth.toml(5) says more.
#
# berth verify /etc/berth/berth.toml checks this file, and systemctl reload
# berth has it read again. Where systemd opens the sockets, berth.socket says
# where to listen, and http.address and http.port are not used.
`

// settings are the keys that Configuration sets.
func settings() map[string]string {
	return map[string]string{
		"storage.rootDirectory": `"/var/lib/berth"`,
		"storage.commit":        "true",
	}
}

// Configuration returns a configuration file for a device, with every key in
// it.
func Configuration() string {
	var b strings.Builder
	b.WriteString(preface)
	for _, section := range sections() {
		if section.name != "" {
			fmt.Fprintf(&b, "\n\n[%s]\n", section.name)
		}
		for _, k := range section.keys {
			b.WriteString("\n" + comment(plain(k.Doc)))
			b.WriteString(comment("Allowed: " + k.Allowed))
			name := strings.TrimPrefix(k.Path, section.name+".")
			set, isSet := settings()[k.Path]
			switch {
			case isSet:
				fmt.Fprintf(&b, "# Default: %s\n%s = %s\n", k.DefaultTOML(), name, set)
			case k.DefaultTOML() != "":
				fmt.Fprintf(&b, "#%s = %s\n", name, k.DefaultTOML())
			case k.Implied() != "":
				fmt.Fprintf(&b, "# Default: %s; an example:\n#%s = %s\n", k.Implied(), name, k.Example)
			default:
				fmt.Fprintf(&b, "# No default; an example:\n#%s = %s\n", name, k.Example)
			}
		}
	}
	return b.String()
}

type section struct {
	name string // "": the top of the file
	keys []config.Key
}

// sections are the keys by the first element of their paths. Those without one
// come first, as TOML has it.
func sections() []section {
	all := []section{{}}
	for _, k := range config.Keys() {
		name, _, nested := strings.Cut(k.Path, ".")
		if !nested {
			name = ""
		}
		i := slices.IndexFunc(all, func(s section) bool { return s.name == name })
		if i < 0 {
			i = len(all)
			all = append(all, section{name: name})
		}
		all[i].keys = append(all[i].keys, k)
	}
	return all
}

// plain takes Markdown's marks away.
func plain(text string) string { return strings.ReplaceAll(text, "`", "") }

// comment breaks a text into lines of a TOML comment.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 80 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
