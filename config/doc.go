// Package config owns berth's configuration: one file in TOML or JSON, the
// environment and the command line's flags, in rising order of precedence over
// the built-in defaults.
//
// One table (keys.go) says what may be set. Defaults, validation, the names of
// environment variables, what a reload may change and docs/CONFIGURATION.md
// all come from it.
//
// Invariants: nothing that was written is ignored. What berth does not know,
// and what this build does not contain, is a Problem, and all problems are
// reported at once. The package reads one file and has no other effect; it
// imports no other package of berth, so that whoever turns a Config into
// Options decides what its values mean.
package config
