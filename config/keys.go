package config

import "strings"

// Key is one row of the table of keys.
type Key struct {
	Path    string // "http.port"; matched without regard to case
	Default string // as an environment variable would give it
	Allowed string // what the value may be, for people
	Example string // a TOML value
	Reload  bool   // a reload takes it over; otherwise it needs a restart
	Doc     string

	oneOf    []string // the only values, or the only members of a list
	min, max int64    // of numbers, sizes and durations; max 0: no upper limit
	check    func(value any) error
	field    func(*Config) any // a pointer to where the value goes
	// perRoot: each of storage.subPaths may set it for itself.
	perRoot bool
	// implied is what holds where nothing is set, in place of Default: the driver
	// knows it.
	implied string
	kind    attrKind // of an Attr
	secret  bool     // no message shows the value
	// compound: the value is a table, or a list of tables, that is converted as
	// a whole.
	compound bool
	// entries, of a key whose value holds tables, takes them over.
	entries func(r *reader, path string, e entry)
	// inner are the keys of such a table. Their paths go on from the key's, and
	// their fields are those of the first entry.
	inner []Key
}

// Env is the environment variable that sets the key, "" where none can: a key
// whose value holds tables stands in a file.
func (k Key) Env() string {
	if k.entries != nil || k.compound {
		return ""
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// Keys returns the table of keys in the order of the documentation.
func Keys() []Key { return keys() }

func keys() []Key {
	var all []Key
	for _, part := range [][]Key{generalKeys(), storageKeys(), gcKeys(), retentionKeys(), placeKeys(), s3Keys(), httpKeys(), limitKeys(), logKeys(), taskKeys(), scrubKeys()} {
		all = append(all, part...)
	}
	return all
}

func generalKeys() []Key {
	return []Key{
		{
			Path: "distSpecVersion", Allowed: "any string", Example: `"1.1.1"`,
			Doc:   "Accepted because existing files carry it. It changes nothing: berth speaks one version of the distribution specification.",
			field: func(c *Config) any { return &c.DistSpecVersion },
		}, {
			Path: "memoryLimit", Default: "auto", Example: `"24MiB"`,
			Allowed: `"auto", 0, or a size of at least 8MiB, such as "24MiB"`,
			Doc:     "The size the Go heap and its overhead try to stay under (the runtime's soft memory limit). `auto` leaves a share of the control group's memory limit to the kernel's socket buffers and page cache and takes the rest; without such a limit there is none. `0` sets none. The environment's GOMEMLIMIT holds while this is `auto`.",
			check:   atLeastUnlessZero(8 << 20), min: int64(Auto),
			field: func(c *Config) any { return &c.MemoryLimit },
		}, {
			Path: "idleExit", Default: "0s", Example: `"10m"`,
			Allowed: `0, or a duration of at least "1s", such as "10m"`, check: checkIdleExit,
			Doc:   "Leave, with status 0, after no client has been connected for this long and while nothing is done in the background, or owed: garbage that is collected soon (`gcDelay` is no longer than this) or has lain for a day, and a scrub that is due. It holds only where systemd handed the sockets over: systemd keeps them and starts berth again with the next connection, which is answered then. Until that, nothing is done in the background either. `0` stays.",
			field: func(c *Config) any { return &c.IdleExit },
		},
	}
}

func storageKeys() []Key {
	return []Key{
		{
			Path: "storage.rootDirectory", Default: "./berth-data", Example: `"/var/lib/berth"`,
			Allowed: "a path", check: notEmpty,
			Doc:   "The directory that holds the repositories, each an OCI image layout. Created where it does not exist. A relative path counts from the working directory. A directory that is itself one layout, and an uncompressed OCI archive (a tar file), are served as one repository, read-only.",
			field: func(c *Config) any { return &c.Storage.RootDirectory }, perRoot: true,
		}, {
			Path: "storage.commit", Default: "false", Allowed: "true or false", Example: "true",
			Doc:   "Bring every write to the disk before it is answered: what was answered 201 or 202 then survives a power cut. Without it, order and atomicity are the same, but the last seconds may be lost; what was torn is dropped at the next start.",
			field: func(c *Config) any { return &c.Storage.Commit }, perRoot: true,
		}, {
			Path: "storage.dedupe", Default: "true", Allowed: "true or false", Example: "false",
			Doc:   "Keep one copy of a blob, by hard links, however many repositories of the root hold it: also of what is stored already, which a task in the background looks through, as `berth dedupe` does. A file system without hard links gets copies. With `false`, new blobs are stored apart.",
			field: func(c *Config) any { return &c.Storage.Dedupe }, perRoot: true,
		}, {
			Path: "storage.minFree", Default: "auto", Example: `"64MiB"`,
			Allowed: `"auto", 0, or a size such as "64MiB"`, min: int64(Auto),
			Doc:   "Pushes are refused with 507 when they would leave less free space than this on the file system. `auto` is 1 % of the file system, but no less than 4 MiB and no more than 256 MiB. Pulls and deletes go on.",
			field: func(c *Config) any { return &c.Storage.MinFree }, perRoot: true,
		}, {
			Path: "storage.readOnly", Default: "false", Allowed: "true or false", Example: "true",
			Doc:   "Never write below the root directory, not even a lock file. Pushes and deletes are refused with 405. The flag `--read-only` holds for every subpath too.",
			field: func(c *Config) any { return &c.Storage.ReadOnly }, perRoot: true,
		},
	}
}

func httpKeys() []Key {
	return []Key{
		{
			Path: "http.address", Default: "127.0.0.1", Example: `["127.0.0.1", "::1", "unix:/run/berth.sock"]`,
			Allowed: `an IP address, a host name, "host:port" or "unix:/path", or a list of them`, check: checkAddresses,
			Doc:   "Where to listen. An address without a port takes `http.port`. `0.0.0.0` stands for every IPv4 address, and `::` for every address, as does an empty string in the file. Sockets handed over by systemd are used in place of all of these.",
			field: func(c *Config) any { return &c.HTTP.Address },
		}, {
			Path: "http.port", Default: "5000", Example: "5000", Allowed: "a number from 0 to 65535, or the same as a string",
			Doc:   "The TCP port of the addresses that name none. With 0 the system chooses one, which the log tells.",
			field: func(c *Config) any { return &c.HTTP.Port },
		}, {
			Path: "http.tls.cert", Example: `"/etc/berth/tls.crt"`, Allowed: "the path of a PEM file",
			Doc:   "The server's certificate with its chain. With it and `http.tls.key` berth speaks HTTPS at every address, and nothing else. A reload reads both files again.",
			field: func(c *Config) any { return &c.HTTP.TLS.Cert },
		}, {
			Path: "http.tls.key", Example: `"/etc/berth/tls.key"`, Allowed: "the path of a PEM file",
			Doc:   "The certificate's private key.",
			field: func(c *Config) any { return &c.HTTP.TLS.Key },
		}, {
			Path: "http.realm", Default: "berth", Example: `"registry"`, Allowed: "a string without quotes and control characters", check: checkRealm,
			Doc:   "The realm that answers name where they ask for credentials.",
			field: func(c *Config) any { return &c.HTTP.Realm },
		}, {
			Path: "http.compat", Example: `["docker2s2"]`, Allowed: `a list of: "docker2s2"`, oneOf: []string{"docker2s2"},
			Doc:   "Media types accepted beside those of OCI. `docker2s2` is Docker's image manifest version 2, schema 2, and its manifest list; without it their push is refused with 415.",
			field: func(c *Config) any { return &c.HTTP.Compat },
		}, {
			Path: "http.sparse", Default: "index", Example: `"none"`, Allowed: `"none", "index" or "all"`, oneOf: []string{"none", "index", "all"},
			Doc:   "Which manifests may name content that the repository lacks: none of them; an index, which may name manifests that are not here; or image manifests too, which may then name blobs that are not here.",
			field: func(c *Config) any { return &c.HTTP.Sparse },
		},
	}
}
