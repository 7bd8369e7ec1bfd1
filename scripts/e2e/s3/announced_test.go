package s3

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"berth/s3lite"
)

// announced looks, when a blob of a repository is about to be deleted, whether the
// index announces that: it has to where it then is deleted.
func (s *storm) announced(r *http.Request) func(status int) {
	key, found := strings.CutPrefix(r.URL.Path, "/"+s.gateway.Bucket+"/")
	repo, blob, isBlob := strings.Cut(key, "/blobs/")
	if r.Method != http.MethodDelete || !found || !isBlob {
		return nil
	}
	digest := strings.Replace(blob, "/", ":", 1)
	condemned, err := s.condemned(repo)
	if err != nil && r.Context().Err() == nil {
		s.t.Errorf("the index of %s: %v", repo, err)
	}
	if err != nil {
		return nil
	}
	if strings.Contains(condemned, digest) {
		return nil
	}
	return func(status int) {
		if status == http.StatusNoContent {
			s.t.Errorf("%s was deleted from %s, which announced %q", digest, repo, condemned)
		}
	}
}

// condemned is what the index at a key's beginning announces.
func (s *storm) condemned(repo string) (string, error) {
	object, err := s.bucket.GetObject(context.Background(), repo+"/index.json", s3lite.GetOptions{})
	if err != nil {
		return "", err
	}
	defer object.Body.Close()
	text, err := io.ReadAll(object.Body)
	if err != nil {
		return "", err
	}
	var index struct{ Annotations map[string]string }
	err = json.Unmarshal(text, &index)
	return index.Annotations["io.berth.condemned"], err
}
