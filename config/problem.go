package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Problem is one reason why a configuration cannot be used.
type Problem struct {
	Source  string // a file, "environment" or "command line"
	Line    int    // in the file, from 1; 0 where there is none
	Key     string // as it was written, with its section; "" for the whole
	Message string // what is wrong, and what is allowed
}

func (p Problem) String() string {
	s := p.Source
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Message
}

// Error is every problem of a configuration, at least one: those of the file
// in the order of its lines, then the environment's, then the command line's.
type Error []Problem

func (e Error) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// plain returns an error without the path that the caller tells anyway.
func plain(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
