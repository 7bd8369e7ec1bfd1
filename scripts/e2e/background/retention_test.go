package background

import (
	"testing"

	"berth/e2e/harness"
)

// TestRetention: the first round after the start removes what the policies name
// and do not keep, and nothing else; JSON as other registries' files have it.
func TestRetention(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, c := start(t, harness.Config{Root: root})
	for _, repo := range []string{"team/app", "other"} {
		for _, tag := range []string{"v1", "v2", "v3", "v4", "latest"} {
			c.Push(repo, tag, image(repo+tag))
		}
	}
	s.Stop()
	const rules = `[storage.retention]
delay = "0s"
[[storage.retention.policies]]
repositories = ["team/*"]
keepTags = [{ patterns = ["^v"], mostRecentlyPushedCount = 2, mostRecentlyPulledCount = 1 }]
`
	s, c = start(t, harness.Config{Root: root, File: rules})
	c.PullWhole("team/app", "v1", image("team/appv1"))
	wantTags(t, c, "team/app", "latest v1 v3 v4")
	s.WaitLog(`repository=team/app tag=v2`)
	s.WaitLog("reason=")
	c.PullWhole("team/app", "v1", image("team/appv1"))
	if got := tags(c, "other"); got != "latest v1 v2 v3 v4" {
		t.Errorf("a repository without a policy has the tags %q", got)
	}
}
