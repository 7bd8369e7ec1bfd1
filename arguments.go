package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"berth/config"
)

// argument is a flag that sets a key of the configuration.
type argument struct {
	name string // without dashes
	key  string
	bare bool // it takes no value: it sets the key to true
	many bool // it may be given several times, for a list
}

func allArguments() []argument {
	return []argument{
		{name: "root", key: "storage.rootDirectory"},
		{name: "name", key: "storage.name"},
		{name: "read-only", key: "storage.readOnly", bare: true},
		{name: "address", key: "http.address", many: true},
	}
}

// configSources reads the arguments of a verb that takes a configuration and the
// flags of the given names. Flags may stand before and after the
// configuration's file.
func configSources(verb string, args []string, known ...string) (config.Sources, error) {
	return verbArguments(verb, args, nil, known...)
}

// verbArguments is configSources for a verb that has switches of its own: flags
// that set no key, by their names.
func verbArguments(verb string, args []string, switches map[string]*bool, known ...string) (config.Sources, error) {
	from := config.Sources{Environ: os.Environ()}
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, a := range allArguments() {
		switch {
		case !slices.Contains(known, a.name):
		case a.bare:
			flags.BoolFunc(a.name, "", a.setter(&from))
		default:
			flags.Func(a.name, "", a.setter(&from))
		}
	}
	for name, set := range switches {
		flags.BoolVar(set, name, false, "")
	}
	var files []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return from, err
			}
			return from, usageError("berth " + verb + ": " + strings.Replace(err.Error(), ": -", ": --", 1) + "; see berth help")
		}
		if args = flags.Args(); len(args) > 0 {
			files, args = append(files, args[0]), args[1:]
		}
	}
	if len(files) > 1 {
		return from, usageError(fmt.Sprintf("berth %s: takes one configuration file, not %d; see berth help", verb, len(files)))
	}
	if len(files) == 1 {
		from.File = files[0]
	}
	return from, nil
}

// setter returns what takes a flag's value over.
func (a argument) setter(from *config.Sources) func(string) error {
	at := -1
	return func(value string) error {
		if a.many && at >= 0 {
			from.Flags[at].Values = append(from.Flags[at].Values, value)
			return nil
		}
		at = len(from.Flags)
		from.Flags = append(from.Flags, config.Flag{Name: "--" + a.name, Key: a.key, Values: []string{value}})
		return nil
	}
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help"
}
