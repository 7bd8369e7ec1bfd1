package config

import (
	"fmt"
	"strings"
	"time"
)

// Config is everything that can be set. Load makes it; every field is set, and
// its key's row in the table of keys says what the values mean.
type Config struct {
	DistSpecVersion string        // accepted for the sake of existing files; nothing reads it
	MemoryLimit     Bytes         // Auto: derive it from the control group; 0: none
	IdleExit        time.Duration // 0: never

	HTTP    HTTP
	Storage Storage
	Log     Log
	Tasks   Tasks
	Admin   Admin

	Extensions Extensions

	// origins tells where a key was set, by its path in lower case: source,
	// line and spelling.
	origins map[string]Problem
}

// Problem returns what is wrong with a key's value, at the place where it was
// set, or as one of the built-in defaults.
func (c *Config) Problem(key, message string) Problem {
	p, ok := c.origins[strings.ToLower(key)]
	if !ok {
		p = Problem{Source: "default", Key: key}
	}
	p.Message = message
	return p
}

// HTTP is the section http.
type HTTP struct {
	Address         []string // see Listen
	Port            Port
	Realm           string
	Compat          []string
	Sparse          string
	ChunkMinLength  Bytes
	MaxConnections  int64 // 0: as many as the descriptor limit allows
	MaxUploads      int64
	MaxManifestSize Bytes
	HeaderTimeout   time.Duration
	IdleTimeout     time.Duration
	ShutdownTimeout time.Duration
	MinRate         Bytes // a second
	TLS             TLS
}

// TLS is the section http.tls. Both are set, or neither.
type TLS struct {
	Cert string // path of a PEM file
	Key  string // path of a PEM file
}

// Storage is the section storage.
type Storage struct {
	Root
	Name     string    // of the one repository, where the root is one layout; "": its file name
	SubPaths []SubPath // in order of their prefixes
	Media    []Medium
	Budgets  []RepoBudget
}

// Root is how one directory of repositories is kept. A subpath has what it
// does not set from the section storage.
type Root struct {
	RootDirectory string
	Commit        bool
	Dedupe        bool
	MinFree       Bytes // Auto: the store chooses
	ReadOnly      bool
	GC            bool
	GCDelay       time.Duration
	GCInterval    time.Duration // 0: one round
	GCReferrers   bool
	Untagged      string // UntaggedKeep or "collect"
	Retention     Retention
	Budget        Budget

	StorageDriver   StorageDriver // set: the root is in a bucket
	CacheDriver     CacheDriver
	RemoteCache     bool // the dedupe index is where CacheDriver says
	RedirectBlobURL bool
	IndexMaxAge     time.Duration
}

// UntaggedKeep is the value of storage.untagged that keeps them.
const UntaggedKeep = "keep"

// SubPath is one entry of storage.subPaths: a root of its own for repositories
// whose names begin with a prefix.
type SubPath struct {
	Prefix string // of repository names, without slashes around it
	Root
}

// Key returns the path of one of the subpath's keys, for Problem.
func (s SubPath) Key(name string) string { return `storage.subPaths."/` + s.Prefix + `".` + name }

// Medium is one entry of storage.media.
type Medium struct {
	Path   string // the directory below which media appear
	Prefix string // of the repositories' names
	Verify bool   // before it is served
}

// MediumKey returns the path of a key of the entry i of storage.media, for
// Problem.
func MediumKey(i int, name string) string { return fmt.Sprintf("storage.media[%d].%s", i, name) }

// Extensions is the section extensions.
type Extensions struct {
	Scrub Scrub
}

// Scrub is the section extensions.scrub.
type Scrub struct {
	Enable   bool
	Interval time.Duration // from the end of a round to the next
}

// Log is the section log.
type Log struct {
	Level  string
	Format string
	Output string // path; "": standard error
	Access string
	Audit  string // path; "": none
}

// Tasks is the section tasks.
type Tasks struct {
	Workers    int64  // see WorkerCount
	NumWorkers int64  // scheduler.numWorkers
	IORate     Bytes  // a second; 0: no limit
	Pressure   int64  // percent; 0: it does not matter
	Window     string // see WindowTimes
}

// Admin is the section admin.
type Admin struct {
	Socket string // path; "": in the root directory, AdminOff: none
}

// AdminOff is the value of admin.socket for no socket.
const AdminOff = "off"

// Port is a TCP port; 0 lets the system choose.
type Port uint16

// Bytes is a size in bytes, or Auto.
type Bytes int64

// Auto stands for a size that berth finds out by itself.
const Auto Bytes = -1

// Default returns the built-in configuration.
func Default() *Config {
	c := &Config{origins: map[string]Problem{}}
	for _, k := range keys() {
		if k.entries != nil {
			continue
		}
		if err := k.assign(c, text(k.Default)); err != nil {
			panic("config: the default of " + k.Path + ": " + err.Error())
		}
	}
	return c
}
