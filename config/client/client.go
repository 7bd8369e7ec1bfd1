// Package client owns what clients of a registry have to be told: for each
// kind of client, the files that make it pull through berth, mirrors and
// certificates among them, and what the client cannot do.
//
// The package is pure: it reads and writes nothing, and knows berth only as a
// host and a port. Whoever installs its files decides what may be replaced, by
// Written.
package client

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Setup is what a client is to be told.
type Setup struct {
	Registry string // HOST:PORT, as it stands in the names of images
	Plain    bool   // it speaks HTTP, not HTTPS
	CA       []byte // certificates that it is trusted by, PEM; nil: those of the system
	Mirrors  []Mirror
}

// Mirror is another registry whose images are asked for at this one first.
type Mirror struct {
	Upstream string // HOST or HOST:PORT, such as docker.io
	Prefix   string // of its repositories in this registry; "": none
}

// File is one file of a client.
type File struct {
	Path    string // absolute
	Content string
	// Merge returns what the file becomes where there is one already; nil: a
	// file is replaced whole.
	Merge func(old []byte) (string, error)
}

// Plan is what to install.
type Plan struct {
	Files []File
	Notes []string // what else is to be done or known, one sentence or more each
}

// ErrUnknown is a kind of client that there is nothing about.
var ErrUnknown = errors.New("unknown client")

// mark begins each file that is replaced whole.
const mark = "# Written by berth client-config.\n"

// Written tells whether a file's content is one that this package made: it may
// be replaced.
func Written(content []byte) bool { return bytes.HasPrefix(content, []byte(mark)) }

// Kinds lists the clients that are known.
func Kinds() []string { return []string{"containerd", "k3s", "crio", "podman", "docker"} }

// Make returns the files for a kind of client. It returns ErrUnknown, or what
// is wrong with the setup.
func Make(kind string, s Setup) (Plan, error) {
	if !slices.Contains(Kinds(), kind) {
		return Plan{}, fmt.Errorf("%w %q; known are %s", ErrUnknown, kind, strings.Join(Kinds(), ", "))
	}
	if err := s.check(); err != nil {
		return Plan{}, err
	}
	switch kind {
	case "containerd":
		return s.containerd(), nil
	case "k3s":
		return s.k3s(), nil
	case "docker":
		return s.docker()
	}
	return s.containers(kind), nil
}

// host is a name or an IP address; it stands in TOML, YAML, URLs and paths.
var host = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// prefix is that of repository names.
var prefix = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

func (s Setup) check() error {
	if !validHost(s.Registry) {
		return fmt.Errorf("%q is no registry: want HOST or HOST:PORT, without a scheme or a path", s.Registry)
	}
	if s.Plain && s.CA != nil {
		return errors.New("a CA is for HTTPS: leave it out, or let the registry speak HTTPS")
	}
	if s.CA != nil {
		if err := checkPEM(s.CA); err != nil {
			return err
		}
	}
	for i, m := range s.Mirrors {
		if !validHost(m.Upstream) {
			return fmt.Errorf("%q is no registry to mirror: want a host such as docker.io or quay.io", m.Upstream)
		}
		if m.Prefix != "" && !prefix.MatchString(m.Prefix) {
			return fmt.Errorf("%q is no beginning of repository names", m.Prefix)
		}
		if m.Upstream == s.Registry {
			return fmt.Errorf("%s cannot be a mirror of itself", m.Upstream)
		}
		if slices.ContainsFunc(s.Mirrors[:i], func(o Mirror) bool { return o.Upstream == m.Upstream }) {
			return fmt.Errorf("%s is there twice", m.Upstream)
		}
	}
	return nil
}

func validHost(s string) bool {
	if !host.MatchString(s) || strings.Contains(s, "..") {
		return false
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return true // there is none
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 1<<16
}

// checkPEM wants certificates and nothing else: a key does not belong here.
func checkPEM(content []byte) error {
	n := 0
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("the CA file holds a %s: give it certificates only", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the CA file: %w", err)
		}
		n, content = n+1, rest
	}
	if n == 0 {
		return errors.New("the CA file holds no certificate in PEM format")
	}
	return nil
}

func (s Setup) url() string {
	if s.Plain {
		return "http://" + s.Registry
	}
	return "https://" + s.Registry
}

// ca returns the CA as a file, if there is one.
func (s Setup) ca(path string) []File {
	if s.CA == nil {
		return nil
	}
	return []File{{Path: path, Content: mark + string(s.CA)}}
}

// trust says what a client without a CA file relies on.
func (s Setup) trust() []string {
	switch {
	case s.Plain:
		return []string{"Traffic with " + s.Registry + " is neither encrypted nor authenticated: use plain HTTP on one machine or in a network that you trust."}
	case s.CA == nil:
		return []string{"The certificate of " + s.Registry + " has to be signed by a CA that the system trusts; for any other give --ca FILE."}
	}
	return nil
}
