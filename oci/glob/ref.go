package glob

import "strings"

// RefPattern matches tags of repositories.
type RefPattern struct{ repo, tag Pattern }

// ParseRef reads the pattern of a repository, which stands for all its tags, or
// one of a repository and one of a tag with a colon between them.
func ParseRef(s string) (RefPattern, error) {
	repo, tag, found := strings.Cut(s, ":")
	if !found {
		tag = "*"
	}
	r, err := Parse(repo)
	if err != nil {
		return RefPattern{}, err
	}
	t, err := Parse(tag)
	return RefPattern{r, t}, err
}

// Match tells whether a tag of a repository matches.
func (p RefPattern) Match(repo, tag string) bool { return p.tag.Match(tag) && p.repo.Match(repo) }
