package config

import "strings"

// feature is a key, or a table of keys, that is known by name and that this
// build does not contain.
type feature struct {
	path string
	// off: the value false asks for what this build does anyhow, so it is
	// accepted.
	off bool
}

// ToCome returns the paths of the keys and tables that are known and not in
// this build.
func ToCome() []string {
	var out []string
	for _, f := range features() {
		out = append(out, f.path)
	}
	return out
}

// features lists what files of the reference registry, or berth's own
// documentation of other builds, may name.
func features() []feature {
	var all []feature
	add := func(section string, off bool, names ...string) {
		for _, name := range names {
			all = append(all, feature{path: strings.TrimPrefix(section+"."+name, "."), off: off})
		}
	}
	add("", false, "cluster")
	add("storage", true, "remoteCache")
	add("storage", false, "storageDriver", "cacheDriver",
		"maxRepos", "untaggedImageRetentionDelay", "redirectBlobURL")
	add("http", false, "auth", "accessControl", "ratelimit", "externalUrl", "allowOrigin")
	add("http.tls", false, "cacert")
	add("extensions", false, "search", "ui", "metrics", "sync", "lint", "mgmt",
		"userprefs", "apikey", "imagetrust", "events", "mirror")
	return all
}
