package manual

import (
	"fmt"
	"strings"

	"berth/config"
)

// heading begins a manual page. It has no date, so that the same source gives
// the same page.
func heading(name string, section int, version, summary string) string {
	return fmt.Sprintf(".TH %s %d \"\" \"berth %s\" \"berth\"\n.nh\n.ad l\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(name), section, roff(version), roff(name), roff(summary))
}

// page is berth(1).
func (c Commands) page(version string) string {
	var b strings.Builder
	b.WriteString(heading("berth", 1, version, strings.TrimPrefix(c.Summary, "berth is ")))
	b.WriteString(".SH SYNOPSIS\n")
	for _, line := range c.Synopsis {
		verb, rest, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, ".B berth %s\n%s\n.br\n", roff(verb), roff(rest))
	}
	b.WriteString(".SH COMMANDS\n")
	for _, v := range c.Verbs {
		if v.Text == "" && len(v.Flags) == 0 {
			continue
		}
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(v.Name), roff(v.Text))
		if len(v.Flags) == 0 {
			continue
		}
		b.WriteString(".RS\n")
		for _, f := range v.Flags {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(f.Name+" "+f.Value)), roff(f.Text))
		}
		b.WriteString(".RE\n")
	}
	b.WriteString(".SH NOTES\n")
	for _, n := range c.Notes {
		b.WriteString(".PP\n" + roff(n) + "\n")
	}
	b.WriteString(".SH FILES\n.TP\n.I /etc/berth/berth.toml\nThe configuration, see\n.BR berth.toml (5).\n" +
		".TP\n.I /var/lib/berth\nThe repositories, each an OCI image layout.\n" +
		".SH SEE ALSO\n.BR berth.toml (5),\n.BR systemd.socket (5)\n")
	return b.String()
}

// configurationPage is berth.toml(5).
func configurationPage(version string) string {
	var b strings.Builder
	b.WriteString(heading("berth.toml", 5, version, "configuration of the berth OCI registry"))
	b.WriteString(".SH DESCRIPTION\n" + roff("A file in TOML, or in JSON, that berth serve reads. Keys match without regard to case; nothing is ignored: an unknown key stops the start. "+
		"A size is a number of bytes or a string with a unit, such as \"64MiB\" or \"500MB\"; a duration is a string such as \"90s\" or \"1h30m\". "+
		"Each key that a variable is named for can be set by the environment, too, which wins over the file.") + "\n")
	for _, s := range sections() {
		title := "[" + s.name + "]"
		if s.name == "" {
			title = "AT THE TOP OF THE FILE"
		}
		b.WriteString(".SH " + roff(title) + "\n")
		for _, k := range s.keys {
			entry(&b, k)
			if inner := k.Inner(); len(inner) > 0 {
				b.WriteString(".RS\n")
				for _, k := range inner {
					entry(&b, k)
				}
				b.WriteString(".RE\n")
			}
		}
	}
	b.WriteString(".SH FILES\n.I /etc/berth/berth.toml\n.SH SEE ALSO\n.BR berth (1)\n")
	return b.String()
}

// entry is one key on a manual page.
func entry(b *strings.Builder, k config.Key) {
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(k.Path), roff(plain(k.Doc)))
	fact := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, ".br\n%s: %s\n", name, roff(value))
		}
	}
	fact("Allowed", k.Allowed)
	fact("Default", k.DefaultTOML())
	fact("Example", k.Example)
	fact("Variable", k.Env())
	if k.Reload {
		b.WriteString(".br\nTaken over by a reload.\n")
	}
}

// roff makes text safe for a line of roff: no backslash is an escape, no
// hyphen is broken at, no line is a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `\&...`, "–", `\(en`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	if text == "" {
		return `\&`
	}
	return text
}
