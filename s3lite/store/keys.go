package store

import (
	"strings"

	"berth/oci"
)

// keys names everything that lies below a root.
type keys struct{ root string } // with a slash at its end, or ""

func newKeys(root string) keys {
	if root == "" {
		return keys{}
	}
	return keys{root + "/"}
}

// The store's own keys begin so. No repository's name begins with a dot.
const private = ".berth/"

func (k keys) repo(repo oci.Repo) string   { return k.root + oci.LayoutDir(repo) + "/" }
func (k keys) index(repo oci.Repo) string  { return k.repo(repo) + oci.LayoutIndex }
func (k keys) layout(repo oci.Repo) string { return k.repo(repo) + oci.LayoutFile }

// blobs begins the keys of a repository's blobs of an algorithm.
func (k keys) blobs(repo oci.Repo, a oci.Algorithm) string {
	return k.repo(repo) + oci.LayoutBlobs + "/" + string(a) + "/"
}

func (k keys) blob(repo oci.Repo, d oci.Digest) string {
	return k.blobs(repo, d.Algorithm()) + d.Encoded()
}

// content is where content lies that repositories share.
func (k keys) content(d oci.Digest) string {
	return k.contents() + string(d.Algorithm()) + "/" + d.Encoded()
}

func (k keys) contents() string { return k.root + private + "content/" }

// condemned marks content that is about to be deleted, unless it has no bytes.
// A list of what begins with the content's key tells of both.
func (k keys) condemned(d oci.Digest) string { return k.content(d) + condemnedSuffix }

const condemnedSuffix = ".condemned"

// sessions begins the keys of a repository's upload sessions, and of no other's:
// no component of a name begins with an underscore.
func (k keys) sessions(repo oci.Repo) string { return k.allSessions() + string(repo) + "/_" }

func (k keys) allSessions() string { return k.root + private + "uploads/" }

func (k keys) session(repo oci.Repo, id oci.UploadID) string { return k.sessions(repo) + string(id) }

// data is the object that a session's parts become.
func (k keys) data(repo oci.Repo, id oci.UploadID) string { return k.session(repo, id) + dataSuffix }

// alive is an object of no bytes that tells by its age when the last bytes of a
// long body came. Lists have it right behind the session.
func (k keys) alive(repo oci.Repo, id oci.UploadID) string { return k.session(repo, id) + aliveSuffix }

const (
	dataSuffix  = ".data"
	aliveSuffix = ".alive"
)

// parseSession is the inverse of session, data and alive: suffix is "" or one of
// theirs.
func (k keys) parseSession(key string) (repo oci.Repo, id oci.UploadID, suffix string) {
	name, ok := strings.CutPrefix(key, k.allSessions())
	dir, file, found := cutLast(name, "/_")
	if !ok || !found {
		return "", "", ""
	}
	for _, s := range []string{dataSuffix, aliveSuffix} {
		if bare, has := strings.CutSuffix(file, s); has {
			file, suffix = bare, s
			break
		}
	}
	repo, repoErr := oci.ParseRepo(dir)
	id, idErr := oci.ParseUploadID(file)
	if repoErr != nil || idErr != nil {
		return "", "", ""
	}
	return repo, id, suffix
}

// copies begins the notes of copies in parts that are under way.
func (k keys) copies() string { return k.root + private + "copies/" }

func (k keys) lease(name string) string { return k.root + private + "leases/" + name }
func (k keys) note(name string) string  { return k.root + private + "notes/" + name }
func (k keys) about() string            { return k.root + private + "store.json" }

// parseDigest is the digest whose blob or content lies at a key that has the
// form prefix<algorithm>/<hex>; false for any other.
func parseDigest(key, prefix string) (oci.Digest, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	algorithm, encoded, found := strings.Cut(rest, "/")
	if !ok || !found {
		return "", false
	}
	d, err := oci.ParseDigest(algorithm + ":" + encoded)
	return d, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
