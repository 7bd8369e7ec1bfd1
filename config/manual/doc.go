// Package manual owns the pages that are installed beside berth, and that
// berth itself prints: a configuration with every key, manual pages, and
// completion for shells. They are made from the table of keys and from the
// text of berth help, so that nothing is written down twice.
//
// The package is pure: it reads and writes nothing. What it needs of the text
// of berth help is its form, which Parse describes.
package manual

// Names lists the pages in the order that they are told of.
func Names() []string {
	return []string{"berth.toml", "berth.1", "berth.toml.5", "bash", "zsh", "fish"}
}

// Page returns a page by its name. help is the text of berth help, version that
// of the program.
func Page(name, help, version string) (string, bool) {
	commands := Parse(help)
	switch name {
	case "berth.toml":
		return Configuration(), true
	case "berth.1":
		return commands.page(version), true
	case "berth.toml.5":
		return configurationPage(version), true
	case "bash":
		return commands.bash(), true
	case "zsh":
		return commands.zsh(), true
	case "fish":
		return commands.fish(), true
	}
	return "", false
}
