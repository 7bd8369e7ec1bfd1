package fsstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"berth/oci"
)

// The store's own directory. No repository's name begins with a dot.
const (
	privateDir  = ".berth"
	uploadsDir  = privateDir + "/uploads"
	tmpDir      = privateDir + "/tmp"
	keptDir     = privateDir + "/kept"
	lockPath    = privateDir + "/lock"
	statePath   = privateDir + "/state.json"
	reservePath = privateDir + "/reserve"

	quarantineDir = privateDir + "/quarantine"
)

// The names of an OCI image layout (image-spec, Image Layout).
const (
	blobsName  = oci.LayoutBlobs
	indexName  = oci.LayoutIndex
	layoutName = oci.LayoutFile
)

// repoDir is a repository's directory.
func repoDir(repo oci.Repo) string { return oci.LayoutDir(repo) }

// component is the repository name's component that a directory stands for,
// "" where it stands for none.
func component(dir string) string { return oci.LayoutComponent(dir) }

func indexPath(repo oci.Repo) string  { return repoDir(repo) + "/" + indexName }
func layoutPath(repo oci.Repo) string { return repoDir(repo) + "/" + layoutName }

func algorithmDir(repo oci.Repo, a oci.Algorithm) string {
	return repoDir(repo) + "/" + blobsName + "/" + string(a)
}

func blobPath(repo oci.Repo, d oci.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	return repoDir(repo) + "/" + blobsName + "/" + algorithm + "/" + encoded
}

// repoKey stands for a repository in the names of files.
func repoKey(repo oci.Repo) string {
	sum := sha256.Sum256([]byte(repo))
	return hex.EncodeToString(sum[:16])
}

func keptPath(repo oci.Repo) string { return keptDir + "/" + repoKey(repo) }

const uploadIDLength = 36

// uploadPath names a session's file after its repository too: so a request for
// another repository does not find it, and whoever finds the file knows whose
// it is. A slash becomes a '+', which is in no repository's name.
func uploadPath(repo oci.Repo, id oci.UploadID) string {
	name := strings.ReplaceAll(string(repo), "/", "+")
	if hasLongName(repo) {
		name = longMark + repoKey(repo)
	}
	return uploadsDir + "/" + string(id) + "." + name
}

// hasLongName tells whether a repository's name does not fit into that of a
// file with the rest of an upload's: such a session's side file, which is there
// from the beginning, tells the repository.
func hasLongName(repo oci.Repo) bool {
	return uploadIDLength+1+len(repo)+len(sideSuffix) > 255
}

const longMark = "#"

// sidePath is where the running hash of an upload is kept.
func sidePath(upload string) string { return upload + sideSuffix }

// loanPath is a blob's second name that is the content of an upload.
func loanPath(upload string) string { return upload + loanSuffix }

const (
	sideSuffix = "=state"
	loanSuffix = "=loan"
)

// parseUploadName is the session whose content a file in uploadsDir holds, and
// its repository, "" where only the side file tells it.
func parseUploadName(name string) (id oci.UploadID, repo oci.Repo, ok bool) {
	if len(name) < uploadIDLength+2 || name[uploadIDLength] != '.' {
		return "", "", false
	}
	id, err := oci.ParseUploadID(name[:uploadIDLength])
	if err != nil {
		return "", "", false
	}
	rest := name[uploadIDLength+1:]
	if key, long := strings.CutPrefix(rest, longMark); long {
		return id, "", len(key) == len(repoKey(""))
	}
	repo, err = oci.ParseRepo(strings.ReplaceAll(rest, "+", "/"))
	return id, repo, err == nil
}
