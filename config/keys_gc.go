package config

// gcKeys are of the collection of garbage.
func gcKeys() []Key {
	return []Key{
		{
			Path: "storage.gc", Default: "true", Allowed: "true or false", Example: "false",
			Doc:   "Collect garbage in the background, while images are pushed and pulled: blobs that no manifest names, manifests that nothing holds (see `storage.untagged`), referrers whose subject is gone, upload sessions that nobody goes on with, and repositories that hold nothing. Nothing is written when there is nothing to collect. What cannot be read or understood is taken for something that needs everything: then the repository is left alone, and the log says so. Manifests that another tool listed without a tag are never collected, nor is anything in archives and on media. With `false` only `berth gc` collects.",
			field: func(c *Config) any { return &c.Storage.GC }, perRoot: true,
		}, {
			Path: "storage.gcDelay", Default: "1h", Example: `"2h"`, Allowed: allowedSpan,
			Doc:   "The least age of what is collected, and for how long what a client was told (that a blob is there, by HEAD, GET, mount or upload) holds. Nothing is collected before this time has passed since the start. It must be longer than any client takes from its first blob to its manifest.",
			field: func(c *Config) any { return &c.Storage.GCDelay }, perRoot: true,
		}, {
			Path: "storage.gcInterval", Default: "1h", Example: `"24h"`, Allowed: allowedSpan,
			Doc:   "The time between two rounds. \"0s\": one round, when `gcDelay` has passed after the start.",
			field: func(c *Config) any { return &c.Storage.GCInterval }, perRoot: true,
		}, {
			Path: "storage.gcReferrers", Default: "true", Allowed: "true or false", Example: "false",
			Doc:   "Collect referrers, such as signatures, whose subject is gone, and the tags `sha256-<digest>` by which clients list them where a registry cannot. With `false` they stay.",
			field: func(c *Config) any { return &c.Storage.GCReferrers }, perRoot: true,
		}, {
			Path: "storage.untagged", Default: "collect", Allowed: `"collect" or "keep"`, Example: `"keep"`, oneOf: []string{"collect", "keep"},
			Doc:   "What becomes of a manifest without a tag, that no image index names and that is no referrer: it was pushed by its digest, or its last tag was moved or deleted. `collect` takes it when `gcDelay` has passed; `keep` keeps it until it is deleted.",
			field: func(c *Config) any { return &c.Storage.Untagged }, perRoot: true,
		},
	}
}

const allowedSpan = `a duration of 0 or more, such as "90m"`
