package fsstore

import (
	"context"
	"fmt"

	"berth/fsstore/durable"
	"berth/oci"
)

var _ oci.UnservedWalker = (*Store)(nil)

// WalkUnserved is oci.UnservedWalker.WalkUnserved. A repository that is about
// to be made, or whose making was cut short, is none.
func (s *Store) WalkUnserved(ctx context.Context, fn func(oci.Repo, string) error) error {
	root, err := s.list(".")
	if err != nil {
		return err
	}
	w := walk{s: s, partly: true, fn: func(repo oci.Repo) error {
		reason, err := s.unservedReason(repo)
		if err != nil || reason == "" {
			return err
		}
		return fn(repo, reason)
	}}
	return w.children(ctx, "", root.children)
}

// unservedReason says what is wrong with a repository's layout; "" for nothing.
func (s *Store) unservedReason(repo oci.Repo) (string, error) {
	state, err := s.readLayout(repo)
	if err != nil || state == absent {
		return "", err
	}
	if state == valid {
		if _, err := s.fs.Stat(indexPath(repo)); durable.IsMissing(err) {
			return "its index.json is missing", nil
		}
		return "", nil
	}
	content, _, err := durable.ReadFile(s.fs, layoutPath(repo), maxLayout)
	switch version, ok := parseLayout(content); {
	case durable.IsMissing(err):
		return "its oci-layout file is missing", nil
	case err != nil:
		return "", s.fail("read oci-layout", repo, err)
	case !ok:
		return "its oci-layout file is not valid", nil
	default:
		return fmt.Sprintf("its oci-layout file has version %q, known is %s", version, knownLayout), nil
	}
}
