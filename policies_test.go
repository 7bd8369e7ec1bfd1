package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/config"
	"berth/oci"
)

const policiesFile = `[storage]
maxBytes = "1GiB"
keep = ["prod/**", "app:stable"]
retention = { policies = [{ repositories = ["tmp/**"], deleteUntagged = false, deleteReferrers = false }, { repositories = ["**/x"], deleteReferrers = true }] }
media = [{ path = "/media", prefix = "usb" }]
budgets = [{ repositories = ["cache/**", "disk/cache/*"], maxBytes = 1000, keep = ["cache/base"] }]
[storage.subPaths."/disk"]
rootDirectory = "/mnt/disk"
maxBytes = 0
keep = []
retention = { delay = "1m", policies = [{ repositories = ["disk/a"] }] }
[storage.subPaths."/disk/inner"]
rootDirectory = "/mnt/inner"
maxBytes = "50%"
gc = false
`

func loadPolicies(t *testing.T, file string) *policies {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.toml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{File: path})
	if err != nil {
		t.Fatal(err)
	}
	p, problems := newPolicies(cfg)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// TestPoliciesByPlace: a repository belongs to the place with the longest
// prefix, and a limit of a root to what lies in that.
func TestPoliciesByPlace(t *testing.T) {
	p := loadPolicies(t, policiesFile)
	limits, rules := p.limits()
	var names []string
	for _, l := range limits {
		names = append(names, l.Name)
	}
	for i, want := range []string{"storage.maxBytes", `storage.subPaths."/disk/inner".maxBytes`, "storage.budgets[0]"} {
		if names[i] != want {
			t.Fatalf("the limits are %q", names)
		}
	}
	for repo, want := range map[oci.Repo][3]bool{
		"app":            {true, false, false},
		"cache/a":        {true, false, true},
		"disk":           {true, false, false},
		"disk/a":         {false, false, false},
		"disk/cache/a":   {false, false, true},
		"disk/inner/a":   {false, true, false},
		"disk/innermost": {false, false, false},
		"usb/stick/a":    {false, false, false},
	} {
		for i, l := range limits {
			if got := l.Covers(repo); got != want[i] {
				t.Errorf("%s covers %s: %v", l.Name, repo, got)
			}
		}
	}
	for i, pins := range []map[string]bool{
		{"prod/a:1": true, "app:stable": true, "app:latest": false},
		{"disk/inner/a:1": true}, // where garbage is not collected nothing would be freed
		{"cache/base:1": true, "cache/a:1": false, "disk/cache/a:1": false, "prod/a:1": true},
	} {
		for ref, want := range pins {
			repo, tag, _ := strings.Cut(ref, ":")
			if got := rules[i].Pinned(oci.Repo(repo), oci.Tag(tag)); got != want {
				t.Errorf("%s is pinned for %s: %v", ref, names[i], got)
			}
		}
	}
}

// TestPoliciesForGarbage: a policy says what garbage collection keeps, but for a
// limit of bytes; what it does not say is as it is elsewhere.
func TestPoliciesForGarbage(t *testing.T) {
	p := loadPolicies(t, policiesFile)
	unlimited := loadPolicies(t, policiesFile+"[storage.subPaths.\"/free\"]\nrootDirectory = \"/mnt/free\"\nmaxBytes = 0\nretention = { policies = [{ deleteUntagged = false }] }\n")
	for _, c := range []struct {
		p                   *policies
		repo                oci.Repo
		given               [2]bool
		untagged, referrers bool
	}{
		{p, "tmp/a", [2]bool{true, false}, false, true}, // limited
		{p, "a/x", [2]bool{false, true}, false, false},
		{p, "disk/a", [2]bool{true, true}, true, true},
		{p, "disk/b", [2]bool{false, false}, false, false},
		{unlimited, "free/a", [2]bool{false, false}, true, false},
	} {
		untagged, referrers := c.p.keep(c.repo, c.given[0], c.given[1])
		if untagged != c.untagged || referrers != c.referrers {
			t.Errorf("%s: untagged stay: %v, referrers stay: %v", c.repo, untagged, referrers)
		}
	}
}

// TestPoliciesDelay: without a delay of its own retention has that of garbage
// collection.
func TestPoliciesDelay(t *testing.T) {
	p := loadPolicies(t, policiesFile)
	if d := p.setOf("app").Delay; d.String() != "1h0m0s" {
		t.Errorf("delay %v", d)
	}
	if d := p.setOf("disk/a").Delay; d.String() != "1m0s" {
		t.Errorf("delay %v", d)
	}
	if p.setOf("usb/a") != nil {
		t.Error("media have retention")
	}
	if p.retains() {
		t.Error("policies without keepTags remove tags")
	}
}
