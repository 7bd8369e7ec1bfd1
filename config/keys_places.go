package config

import (
	"slices"
	"strings"
)

// placeKeys are where repositories lie beside the root directory.
func placeKeys() []Key {
	return []Key{
		{
			Path: "storage.name", Example: `"tools/shell"`, Allowed: "a repository's name", check: checkRepoOrEmpty,
			Doc:   "The name of the one repository where the root directory is itself a layout or an OCI archive. Without it, that of the directory or file makes the name, in lower case and without `.tar`. Set with an ordinary root, it stops the start.",
			field: func(c *Config) any { return &c.Storage.Name },
		}, {
			Path: "storage.subPaths", Example: `{ "/archive" = { rootDirectory = "/mnt/disk2", commit = true } }`,
			Allowed: `a table of tables: "/prefix" = { rootDirectory = "/path", … }`,
			Doc:     "Further roots. Repositories whose names begin with the prefix, of one or more segments, lie in its root, under the rest of their names; the longest prefix wins. All appear as one registry. Each needs a `rootDirectory` of its own, neither the same as another's nor inside or around it, and has what it does not set from the section `storage`. When its root is missing, as that of a disk that is not mounted is, requests for its repositories are answered 503, and all others go on; it is served again as soon as it is back. A root that may be written to is held open, as that of any program that writes there: `umount -l` takes its disk away, and berth lets go of it within 2 seconds.",
			field:   func(c *Config) any { return &c.Storage.SubPaths },
			entries: (*reader).subPaths, inner: subPathRows(),
		}, {
			Path: "storage.media", Example: `[{ path = "/media", prefix = "usb" }]`,
			Allowed: "a list of tables, or [[storage.media]] sections",
			Doc:     "Directories below which removable media are mounted. The OCI layouts on them, and the uncompressed OCI archives (tar files), are served read-only while they are there, within 2 seconds, as prefix/medium/path. The medium's name is that of its volume or directory. Nothing is written to a medium, and nothing holds it up when it is unmounted.",
			field:   func(c *Config) any { return &c.Storage.Media },
			entries: (*reader).media, inner: mediaKeys(),
		},
	}
}

// subPathKeys are those of the section storage that a subpath may set.
func subPathKeys() []Key {
	var all []Key
	for _, k := range slices.Concat(storageKeys(), gcKeys(), retentionKeys(), s3Keys()) {
		if k.perRoot {
			k.Path = subPathsPath + k.Path[len("storage"):]
			all = append(all, k)
		}
	}
	return all
}

const subPathsPath = "storage.subPaths"

// subPathRows are subPathKeys for people: of a driver, one row.
func subPathRows() []Key {
	var all []Key
	for _, k := range subPathKeys() {
		if name := strings.TrimPrefix(k.Path, subPathsPath+"."); !strings.Contains(name, ".") {
			all = append(all, k)
		}
	}
	return append(all, Key{
		Path: subPathsPath + ".storageDriver", Allowed: "a table", Example: `{ name = "s3", region = "us-east-2", bucket = "archive" }`,
		Doc: "As the keys of `storage.storageDriver`. It is never that of the section: without it, the subpath lies in its `rootDirectory`.",
	}, Key{
		Path: subPathsPath + ".cacheDriver", Allowed: "a table", Example: `{ cacheTablename = "Archive" }`,
		Doc: "As the keys of `storage.cacheDriver`, from which each comes unless it is set.",
	})
}

func mediaKeys() []Key {
	return []Key{
		{
			Path: "storage.media.path", Example: `"/media"`, Allowed: "a path", check: notEmpty,
			Doc:   "The directory below which media are mounted. It may be missing. Needed.",
			field: func(c *Config) any { return &c.Storage.Media[0].Path },
		}, {
			Path: "storage.media.prefix", Example: `"usb"`, Allowed: "the beginning of repository names: one or more segments", check: checkPrefix,
			Doc:   "What the names of the repositories begin with. Needed.",
			field: func(c *Config) any { return &c.Storage.Media[0].Prefix },
		}, {
			Path: "storage.media.verify", Default: "false", Example: "true", Allowed: "true or false",
			Doc:   "Read all that a layout reaches and compare it with its digests before it is served.",
			field: func(c *Config) any { return &c.Storage.Media[0].Verify },
		},
	}
}
