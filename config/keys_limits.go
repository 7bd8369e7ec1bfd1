package config

import "time"

// limitKeys are the bounds of section http.
func limitKeys() []Key {
	return []Key{
		{
			Path: "http.maxManifestSize", Default: "4MiB", Example: `"8MiB"`, Allowed: `a size from "4MiB" to "64MiB"`, min: 4 << 20, max: 64 << 20,
			Doc:   "The largest manifest accepted; a larger one is refused with 413. Manifests are held in memory while they are pushed.",
			field: func(c *Config) any { return &c.HTTP.MaxManifestSize },
		}, {
			Path: "http.maxConnections", Default: "0", Example: "500", Allowed: "a number of at least 0", max: 1 << 30,
			Doc:   "The most connections at one time; further ones wait to be accepted. 0 takes what the process's limit of open files allows.",
			field: func(c *Config) any { return &c.HTTP.MaxConnections },
		}, {
			Path: "http.maxUploads", Default: "64", Example: "16", Allowed: "a number of at least 1", min: 1, max: 1 << 20,
			Doc:   "The most requests with a body at one time; further ones wait a little and are then answered 429.",
			field: func(c *Config) any { return &c.HTTP.MaxUploads },
		}, {
			Path: "http.chunkMinLength", Default: "0", Example: `"1MiB"`, Allowed: `0, or a size such as "1MiB"`,
			Doc:   "The least size of a chunk that answers to chunked uploads ask for (OCI-Chunk-Min-Length). 0 asks for none.",
			field: func(c *Config) any { return &c.HTTP.ChunkMinLength },
		}, {
			Path: "http.minRate", Default: "128", Example: `"1KiB"`, Allowed: `0, or a size a second such as "1KiB"`,
			Doc:   "The least average rate, in bytes a second over half a minute, at which a client has to send or take a body; slower ones are disconnected. 0 puts up with any.",
			field: func(c *Config) any { return &c.HTTP.MinRate },
		}, {
			Path: "http.headerTimeout", Default: "15s", Example: `"10s"`, Allowed: `a duration from "1s" to "1h"`, min: int64(time.Second), max: int64(time.Hour),
			Doc:   "How long a client may take to send a request's header.",
			field: func(c *Config) any { return &c.HTTP.HeaderTimeout },
		}, {
			Path: "http.idleTimeout", Default: "90s", Example: `"2m"`, Allowed: `a duration from "1s" to "24h"`, min: int64(time.Second), max: int64(24 * time.Hour),
			Doc:   "How long a connection is kept open between two requests.",
			field: func(c *Config) any { return &c.HTTP.IdleTimeout },
		}, {
			Path: "http.shutdownTimeout", Default: "30s", Example: `"5m"`, Allowed: `a duration from "0s" to "24h"`, max: int64(24 * time.Hour),
			Doc:   "How long requests under way may go on after the signal to stop; then their connections are closed.",
			field: func(c *Config) any { return &c.HTTP.ShutdownTimeout },
		},
	}
}

func logKeys() []Key {
	return []Key{
		{
			Path: "log.level", Default: "info", Example: `"debug"`, Allowed: `"debug", "info", "warn" or "error"`, oneOf: []string{"debug", "info", "warn", "error"}, Reload: true,
			Doc:   "The least severe entries that are logged.",
			field: func(c *Config) any { return &c.Log.Level },
		}, {
			Path: "log.format", Default: "text", Example: `"json"`, Allowed: `"text" or "json"`, oneOf: []string{"text", "json"},
			Doc:   "How entries of the log are written: key=value, or one JSON object a line.",
			field: func(c *Config) any { return &c.Log.Format },
		}, {
			Path: "log.output", Example: `"/var/log/berth.log"`, Allowed: "a path, or nothing for standard error", Reload: true,
			Doc:   "The file the log is appended to. A reload opens it again, so that it can be rotated by renaming. What goes to standard error, in the format `text`, and so into systemd's journal, gets there with its level as the priority and each attribute as a field: `journalctl BERTH_REPOSITORY=shop/till`.",
			field: func(c *Config) any { return &c.Log.Output },
		}, {
			Path: "log.access", Default: "off", Example: `"json"`, Allowed: `"off", "text" or "json"`, oneOf: []string{"off", "text", "json"},
			Doc:   "One entry for each request, in the same place as the log.",
			field: func(c *Config) any { return &c.Log.Access },
		}, {
			Path: "log.audit", Example: `"/var/log/berth-audit.log"`, Allowed: "a path, or nothing for no audit log", Reload: true,
			Doc:   "The file that gets one JSON object a line for each request that changed or tried to change something. A reload opens it again. To turn it on or off needs a restart.",
			field: func(c *Config) any { return &c.Log.Audit },
		},
	}
}
