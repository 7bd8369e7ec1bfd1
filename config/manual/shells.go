package manual

import (
	"fmt"
	"strings"

	"berth/config/client"
)

// choices are the values that a flag takes, where they are few.
func choices(flag string) []string {
	if flag == "--for" {
		return client.Kinds()
	}
	return nil
}

func (c Commands) verbNames() string {
	var names []string
	for _, v := range c.Verbs {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

func (v Verb) flagNames() string {
	var names []string
	for _, f := range v.Flags {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

// topics are what a verb takes beside flags and files.
func topics(verb string) []string {
	if verb == "help" {
		return Names()
	}
	return nil
}

// bash is completion for bash, to be sourced or put where bash-completion
// looks.
func (c Commands) bash() string {
	var b strings.Builder
	b.WriteString("# Completion of berth for bash.\n_berth() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words=\n  COMPREPLY=()\n")
	fmt.Fprintf(&b, "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")\n    return\n  fi\n", c.verbNames())
	b.WriteString("  case ${COMP_WORDS[COMP_CWORD-1]} in\n")
	for _, name := range c.flagsWithChoices() {
		fmt.Fprintf(&b, "    %s) words='%s' ;;\n", name, strings.Join(choices(name), " "))
	}
	b.WriteString("    *)\n      case ${COMP_WORDS[1]}:$cur in\n")
	for _, v := range c.Verbs {
		if len(v.Flags) > 0 {
			fmt.Fprintf(&b, "        %s:-*) words='%s' ;;\n", v.Name, v.flagNames())
		}
		if t := topics(v.Name); t != nil {
			fmt.Fprintf(&b, "        %s:*) words='%s' ;;\n", v.Name, strings.Join(t, " "))
		}
	}
	b.WriteString("      esac ;;\n  esac\n  if [ -n \"$words\" ]; then\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n" +
		"  else\n    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n  fi\n}\ncomplete -o filenames -F _berth berth\n")
	return b.String()
}

// flagsWithChoices lists the flags of all verbs whose values are few.
func (c Commands) flagsWithChoices() []string {
	var names []string
	for _, v := range c.Verbs {
		for _, f := range v.Flags {
			if choices(f.Name) != nil {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// zsh is completion for zsh, for a directory of fpath.
func (c Commands) zsh() string {
	var b strings.Builder
	b.WriteString("#compdef berth\nlocal -a verbs\nverbs=(\n")
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "  %s\n", quote(v.Name+":"+short(v.Text)))
	}
	b.WriteString(")\nif (( CURRENT == 2 )); then\n  _describe command verbs\n  return\nfi\ncase $words[2] in\n")
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "  %s)\n    _arguments", v.Name)
		for _, f := range v.Flags {
			spec := "*" + f.Name + "[" + strings.NewReplacer("[", "(", "]", ")", ":", ";").Replace(short(f.Text)) + "]"
			if values := choices(f.Name); values != nil {
				spec += ":" + f.Value + ":(" + strings.Join(values, " ") + ")"
			} else if f.Value != "" {
				spec += ":" + strings.NewReplacer(":", "-", "[", "(", "]", ")").Replace(f.Value) + ":_files"
			}
			b.WriteString(" \\\n      " + quote(spec))
		}
		if t := topics(v.Name); t != nil {
			b.WriteString(" \\\n      " + quote("2:page:("+strings.Join(t, " ")+")"))
		}
		b.WriteString(" \\\n      '*:file:_files'\n    ;;\n")
	}
	return b.String() + "esac\n"
}

// fish is completion for fish.
func (c Commands) fish() string {
	var b strings.Builder
	b.WriteString("# Completion of berth for fish.\n")
	for _, v := range c.Verbs {
		fmt.Fprintf(&b, "complete -c berth -n __fish_use_subcommand -f -a %s -d %s\n", v.Name, quote(short(v.Text)))
		within := "complete -c berth -n '__fish_seen_subcommand_from " + v.Name + "'"
		for _, f := range v.Flags {
			b.WriteString(within + " -l " + strings.TrimPrefix(f.Name, "--"))
			if values := choices(f.Name); values != nil {
				b.WriteString(" -x -a " + quote(strings.Join(values, " ")))
			} else if f.Value != "" {
				b.WriteString(" -r")
			}
			b.WriteString(" -d " + quote(short(f.Text)) + "\n")
		}
		if t := topics(v.Name); t != nil {
			b.WriteString(within + " -f -a " + quote(strings.Join(t, " ")) + "\n")
		}
	}
	return b.String()
}

// quote is a word in single quotes, as every shell takes it.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "’") + "'" }
