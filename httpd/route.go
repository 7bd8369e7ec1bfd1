package httpd

import "strings"

// endpoint is one row, or several with the same path, of the specification's
// table of endpoints.
type endpoint uint8

const (
	endUnknown   endpoint = iota
	endBase               // end-1
	endBlob               // end-2, end-10
	endManifest           // end-3, end-7, end-9
	endUploads            // end-4, end-11
	endUpload             // end-5, end-6, end-13, end-14
	endTags               // end-8
	endReferrers          // end-12
	endCatalog            // the repositories; of the Docker registry API
	endDiscover           // the extensions API of the OCI
	endLive
	endReady
	endStarted
	endRoot
	endpoints // how many there are
)

// target is what a path names. The strings are parts of the path, unchecked.
type target struct {
	end  endpoint
	name string // repository
	arg  string // tag, digest or upload, with an escaped colon decoded
}

// underAPI tells whether the endpoint, or an unknown path, belongs to /v2/.
func underAPI(path string) bool { return path == "/v2" || strings.HasPrefix(path, "/v2/") }

// route finds the endpoint of a raw path: one that nobody has decoded or
// cleaned. Nothing is decoded but the colon of a digest, in the last
// component, so a path cannot come to mean another by escapes or dots.
// Repositories may have components like "blobs" or "tags"; therefore the path
// is read from its end.
func route(path string) target {
	if !underAPI(path) {
		return target{end: routeOther(path)}
	}
	rest := strings.TrimPrefix(path[len("/v2"):], "/")
	switch rest {
	case "":
		return target{end: endBase}
	case "_catalog":
		return target{end: endCatalog}
	case "_oci/ext/discover":
		return target{end: endDiscover}
	}
	return routeRepo(rest)
}

func routeOther(path string) endpoint {
	switch path {
	case "/":
		return endRoot
	case "/livez":
		return endLive
	case "/readyz":
		return endReady
	case "/startupz":
		return endStarted
	}
	return endUnknown
}

// routeRepo reads <name>/<kind>/<arg>.
func routeRepo(rest string) target {
	for _, suffix := range [...]string{"/blobs/uploads/", "/blobs/uploads"} {
		if name, ok := strings.CutSuffix(rest, suffix); ok {
			return target{end: endUploads, name: name}
		}
	}
	head, arg := cutLast(rest)
	name, kind := cutLast(head)
	if name == "" || arg == "" {
		return target{}
	}
	switch kind {
	case "blobs":
		return target{end: endBlob, name: name, arg: unescapeColon(arg)}
	case "manifests":
		return target{end: endManifest, name: name, arg: unescapeColon(arg)}
	case "referrers":
		return target{end: endReferrers, name: name, arg: unescapeColon(arg)}
	case "tags":
		if arg == "list" {
			return target{end: endTags, name: name}
		}
	case "uploads":
		if repo, ok := strings.CutSuffix(name, "/blobs"); ok {
			return target{end: endUpload, name: repo, arg: arg}
		}
	}
	return target{}
}

// cutLast splits s at its last slash; without one, all of it is the tail.
func cutLast(s string) (head, tail string) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}

// unescapeColon decodes the one character that clients escape in a digest
// though they need not.
func unescapeColon(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return strings.NewReplacer("%3A", ":", "%3a", ":").Replace(s)
}
