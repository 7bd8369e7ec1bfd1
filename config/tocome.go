package config

import "strings"

// feature is a key, or a table of keys, that is known by name and that this
// build does not contain.
type feature struct{ path string }

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
	add := func(section string, names ...string) {
		for _, name := range names {
			all = append(all, feature{strings.TrimPrefix(section+"."+name, ".")})
		}
	}
	add("", "cluster")
	add("storage", "maxRepos", "untaggedImageRetentionDelay")
	add("http", "auth", "accessControl", "ratelimit", "externalUrl", "allowOrigin")
	add("http.tls", "cacert")
	add("extensions", "search", "ui", "metrics", "sync", "lint", "mgmt",
		"userprefs", "apikey", "imagetrust", "events", "mirror")
	return all
}
