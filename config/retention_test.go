package config

import (
	"reflect"
	"testing"
	"time"
)

// wantRetention is what both files say.
func wantRetention() Retention {
	yes, no := true, false
	return Retention{
		Delay: 24 * time.Hour,
		Policies: []RetentionPolicy{
			{
				Repositories: []string{"infra/*", "prod/**"}, DeleteReferrers: &no, DeleteUntagged: &yes, DeleteUnnamed: true,
				KeepTags: []KeepTags{
					{Patterns: []string{"v2.*", ".*-prod"}},
					{
						Patterns: []string{"v3.*"}, MostRecentlyPushedCount: 10, MostRecentlyPulledCount: 5,
						PushedWithin: 720 * time.Hour, PulledWithin: 168 * time.Hour,
					},
				},
			},
			{KeepTags: []KeepTags{{Patterns: []string{".*"}}}},
		},
	}
}

func TestRetention(t *testing.T) {
	for name, content := range map[string]string{
		"zot.json": `{"storage": {"rootDirectory": "/a", "retention": {"dryRun": false, "delay": "24h", "policies": [
			{"repositories": ["infra/*", "prod/**"], "deleteReferrers": false, "deleteUntagged": true, "deleteUnnamed": true,
			 "KeepTags": [{"patterns": ["v2.*", ".*-prod"]},
				{"patterns": ["v3.*"], "mostRecentlyPushedCount": 10, "mostRecentlyPulledCount": 5, "pushedWithin": "720h", "pulledWithin": "168h"}]},
			{"keepTags": [{"patterns": [".*"]}]}]},
			"subPaths": {"/own": {"rootDirectory": "/b", "retention": {"policies": [{"repositories": ["own/x"]}]}},
				"/same": {"rootDirectory": "/c"}}}}`,
		"berth.toml": `[storage.retention]
delay = "24h"
[[storage.retention.policies]]
repositories = ["infra/*", "prod/**"]
deleteReferrers = false
deleteUntagged = true
deleteUnnamed = true
keepTags = [{ patterns = ["v2.*", ".*-prod"] }, { patterns = "v3.*", mostRecentlyPushedCount = 10, mostRecentlyPulledCount = 5, pushedWithin = "720h", pulledWithin = "168h" }]
[[storage.retention.policies]]
[[storage.retention.policies.keepTags]]
patterns = [".*"]
[storage.subPaths."/own"]
rootDirectory = "/b"
[[storage.subPaths."/own".retention.policies]]
repositories = ["own/x"]
[storage.subPaths."/same"]
rootDirectory = "/c"
`,
	} {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, name, content).Storage
			if want := wantRetention(); !reflect.DeepEqual(s.Retention, want) || !reflect.DeepEqual(s.SubPaths[1].Retention, want) {
				t.Errorf("got  %+v\nwant %+v", s.Retention, want)
			}
			if got, want := s.SubPaths[0].Retention, (Retention{Delay: -1, Policies: []RetentionPolicy{{Repositories: []string{"own/x"}}}}); !reflect.DeepEqual(got, want) {
				t.Errorf("the subpath has %+v, want %+v", got, want)
			}
		})
	}
}

func TestAmount(t *testing.T) {
	for s, want := range map[string]Amount{"": {}, "0": {}, "10": {Bytes: 10}, "20GiB": {Bytes: 20 << 30}, "80%": {Percent: 80}, "100%": {Percent: 100}} {
		if got, err := (Key{}).toAmount(s); err != nil || got != want {
			t.Errorf("%q is %+v, error %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []any{"0%", "101%", "%", "1.5%", "-1", "many", true, int64(-1)} {
		if got, err := (Key{}).toAmount(s); err == nil {
			t.Errorf("%v is taken as %+v", s, got)
		}
	}
}
