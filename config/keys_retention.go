package config

import "strconv"

// The watermarks in percent, where none are set.
const defaultHigh, defaultLow = 90, 80

func maxBytesKey() Key {
	return Key{Allowed: `0, a size such as "20GiB", or a share of the file system such as "80%"`}
}

func watermarkKey() Key { return Key{Allowed: "a number from 1 to 100", min: 1, max: 100} }

// retentionKeys are what goes by itself, and when.
func retentionKeys() []Key {
	maxBytes, mark := maxBytesKey(), watermarkKey()
	return []Key{
		{
			Path: "storage.retention", Example: `{ policies = [{ repositories = ["tmp/**"], keepTags = [{ patterns = ["v.*"], mostRecentlyPushedCount = 10 }] }] }`,
			Allowed: "a table, or [storage.retention] with [[storage.retention.policies]] sections", compound: true,
			Doc:   "Which tags stay. A repository is held to the first policy that it matches, by its whole name. Each entry of its `keepTags` names tags by patterns, and keeps all of them where it has nothing else, or else those for which one of its rules holds. A tag stays that some entry keeps, and so does a tag that no entry names, unless the policy has `deleteUnnamed`; a repository that matches no policy keeps all its tags, and so does one whose policy has no `keepTags`. What goes is the tag: garbage collection then takes the manifest and its content. Each removal is logged with its reason. A tag whose age is not known stays.",
			field: func(c *Config) any { return &c.Storage.Retention }, perRoot: true, inner: retentionMembers(),
		}, {
			Path: "storage.maxBytes", Default: "0", Example: `"20GiB"`, Allowed: maxBytes.Allowed,
			Doc:   "How many bytes the root's blobs may take, equal blobs that share their space counted once; 0: as many as there is room for. A push that does not fit is refused with 507 before its bytes are taken. When `highWatermark` is passed, the tags that were pulled longest ago are removed, as far as they may be, until what garbage collection leaves is below `lowWatermark`; and manifests without a tag are collected, whatever `untagged` says. With `gc = false` no tags are removed. A subpath has a budget of its own.",
			field: func(c *Config) any { return &c.Storage.Budget.MaxBytes }, perRoot: true,
		}, {
			Path: "storage.highWatermark", Default: strconv.Itoa(defaultHigh), Example: "95", Allowed: mark.Allowed, min: mark.min, max: mark.max,
			Doc:   "The percentage of `maxBytes` above which tags are removed.",
			field: func(c *Config) any { return &c.Storage.Budget.HighWatermark }, perRoot: true,
		}, {
			Path: "storage.lowWatermark", Default: strconv.Itoa(defaultLow), Example: "70", Allowed: mark.Allowed, min: mark.min, max: mark.max,
			Doc:   "The percentage of `maxBytes` down to which tags are removed.",
			field: func(c *Config) any { return &c.Storage.Budget.LowWatermark }, perRoot: true,
		}, {
			Path: "storage.keep", Example: `["prod/**", "tools/*:latest"]`, Allowed: "a list of patterns of repositories, or of repository:tag",
			Doc:   "Tags that berth never removes by itself, neither for a budget nor by a retention policy. A pattern is held against the whole name: `?` is one character and `*` any number of them within a segment, `**` any number of segments.",
			field: func(c *Config) any { return &c.Storage.Budget.Keep }, perRoot: true,
		}, {
			Path: "storage.evictPushed", Default: "false", Allowed: "true or false", Example: "true",
			Doc:   "Let a budget remove also what was pushed. Otherwise only what was mirrored from another registry goes, where it can be had again, and when nothing of that is left, pushes are refused.",
			field: func(c *Config) any { return &c.Storage.Budget.EvictPushed }, perRoot: true,
		}, {
			Path: "storage.budgets", Example: `[{ repositories = ["cache/**"], maxBytes = "5GiB", evictPushed = true }]`,
			Allowed: "a list of tables, or [[storage.budgets]] sections", compound: true,
			Doc:   "Further budgets, for the repositories whose whole names match one of the patterns, in all roots together. Each stands for itself beside that of the root.",
			field: func(c *Config) any { return &c.Storage.Budgets }, inner: budgetMembers(),
		},
	}
}

// retentionMembers document the table storage.retention.
func retentionMembers() []Key {
	const policies, keepTags = "storage.retention.policies.", "storage.retention.policies.keepTags."
	return []Key{
		{Path: "storage.retention.dryRun", Allowed: "true or false", Example: "true", Doc: "Log what would go, and remove nothing."},
		{Path: "storage.retention.delay", Allowed: allowedDuration, Example: `"24h"`, Doc: "Nothing goes that was pushed less long ago. Unless it is set, it is `gcDelay`."},
		{Path: "storage.retention.policies", Allowed: "a list of tables", Example: "[]", Doc: "The policies, of which the first that matches counts."},
		{Path: policies + "repositories", Allowed: allowedPatterns, Example: `["infra/*"]`, Doc: "The repositories, by their whole names, with the prefix of a subpath: `*` and `?` within a segment, `**` any number of segments. Without it, all."},
		{Path: policies + "deleteUntagged", Allowed: "true or false", Example: "true", Doc: "Whether garbage collection takes manifests that no tag names, in place of what it does elsewhere."},
		{Path: policies + "deleteReferrers", Allowed: "true or false", Example: "true", Doc: "Whether garbage collection takes manifests whose subject is gone, in place of what it does elsewhere."},
		{Path: policies + "deleteUnnamed", Allowed: "true or false", Example: "true", Doc: "Remove also the tags that no entry of `keepTags` names. Without it they stay."},
		{Path: policies + "keepTags", Allowed: "a list of tables", Example: "[]", Doc: "Which tags stay. Without it, all."},
		{Path: keepTags + "patterns", Allowed: "a list of regular expressions", Example: `["^v2\\."]`, Doc: "The tags that the entry is about: those that one of them matches, in part or whole. Without it, all."},
		{Path: keepTags + "mostRecentlyPushedCount", Allowed: "a number", Example: "10", Doc: "Keep so many that were pushed last."},
		{Path: keepTags + "mostRecentlyPulledCount", Allowed: "a number", Example: "10", Doc: "Keep so many that were pulled last; a tag that never was counts as pulled when it was pushed."},
		{Path: keepTags + "pushedWithin", Allowed: allowedDuration, Example: `"720h"`, Doc: "Keep what was pushed less long ago."},
		{Path: keepTags + "pulledWithin", Allowed: allowedDuration, Example: `"720h"`, Doc: "Keep what was pulled less long ago, by the tag or by the digest that it names."},
	}
}

// budgetMembers document the tables of storage.budgets.
func budgetMembers() []Key {
	as := func(name, allowed, example string) Key {
		return Key{Path: "storage.budgets." + name, Allowed: allowed, Example: example, Doc: "As `storage." + name + "`, for these repositories."}
	}
	return []Key{
		{Path: "storage.budgets.repositories", Allowed: allowedPatterns, Example: `["cache/**"]`, Doc: "The repositories, by their whole names. Needed."},
		{Path: "storage.budgets.maxBytes", Allowed: maxBytesKey().Allowed, Example: `"5GiB"`, Doc: "As `storage.maxBytes`, for these repositories; a share is that of the file system of the root directory. Needed."},
		as("highWatermark", watermarkKey().Allowed, "90"),
		as("lowWatermark", watermarkKey().Allowed, "80"),
		as("keep", allowedPatterns, `["cache/base:*"]`),
		as("evictPushed", "true or false", "true"),
	}
}
