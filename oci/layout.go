package oci

import "strings"

// The names of an OCI image layout (image-spec, Image Layout).
const (
	LayoutBlobs = "blobs"
	LayoutIndex = "index.json"
	LayoutFile  = "oci-layout"
)

// LayoutDir is the path of a repository's layout below its store's root, by
// slashes. A component that equals a name of the layout gets a '_' in front,
// which no valid component begins with.
func LayoutDir(repo Repo) string {
	name := string(repo)
	for rest, more := name, true; more; {
		var component string
		component, rest, more = strings.Cut(rest, "/")
		if IsLayoutName(component) {
			return escapeAll(name)
		}
	}
	return name
}

// LayoutComponent is the component of a repository's name that a directory
// stands for, the inverse of LayoutDir; "" where it stands for none.
func LayoutComponent(dir string) string {
	if plain, escaped := strings.CutPrefix(dir, "_"); escaped && IsLayoutName(plain) {
		return plain
	}
	if IsLayoutName(dir) {
		return ""
	}
	if _, err := ParseRepo(dir); err != nil || strings.Contains(dir, "/") {
		return ""
	}
	return dir
}

// IsLayoutName tells whether a name is one of a layout's own.
func IsLayoutName(component string) bool {
	return component == LayoutBlobs || component == LayoutIndex || component == LayoutFile
}

func escapeAll(name string) string {
	components := strings.Split(name, "/")
	for i, c := range components {
		if IsLayoutName(c) {
			components[i] = "_" + c
		}
	}
	return strings.Join(components, "/")
}
