package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"berth/config"
)

// verify says what is wrong with a configuration, as serve would.
func verify(args []string, stdout io.Writer) error {
	if slices.ContainsFunc(args, isHelp) {
		return printUsage(stdout)
	}
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		return usageError("berth verify: takes one argument, the configuration's file; see berth help")
	}
	if _, err := load(config.Sources{File: args[0], Environ: os.Environ()}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%s: ok\n", args[0])
	return err
}

// load makes a configuration and checks it against the machine, without
// changing anything there. The error is a config.Error.
func load(from config.Sources) (*config.Config, error) {
	cfg, err := config.Load(from)
	if err != nil {
		return nil, err
	}
	if problems := checkMachine(cfg); len(problems) > 0 {
		return nil, problems
	}
	return cfg, nil
}

// checkMachine finds what is wrong with a configuration on this machine.
func checkMachine(cfg *config.Config) config.Error {
	problems := append(checkPlaces(cfg), checkDrivers(cfg)...)
	if _, bad := newPolicies(cfg); len(bad) > 0 {
		problems = append(problems, bad...)
	}
	for _, check := range []struct {
		key string
		err error
	}{
		{"http.tls.cert", checkCertificate(cfg.HTTP.TLS)},
		{"log.output", checkLogFile(cfg.Log.Output)},
		{"log.audit", checkLogFile(cfg.Log.Audit)},
	} {
		if check.err != nil {
			problems = append(problems, cfg.Problem(check.key, check.err.Error()))
		}
	}
	return problems
}

func checkCertificate(files config.TLS) error {
	if files.Cert == "" {
		return nil
	}
	_, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	return err
}

// checkLogFile finds what would keep a log file from being opened, as far as
// that shows without creating it.
func checkLogFile(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return notDirectory(dir)
	}
	return nil
}

func notDirectory(path string) error { return fmt.Errorf("%s is not a directory", path) }
