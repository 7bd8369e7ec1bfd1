package ops

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// The access log has a line for each answer, the audit log one for each write,
// and neither has a credential.
func TestLogs(t *testing.T) {
	t.Parallel()
	audit := filepath.Join(t.TempDir(), "audit.log")
	s, c := start(t, harness.Config{File: "[log]\nformat = \"json\"\naccess = \"json\"\nlevel = \"debug\"\naudit = \"" + audit + "\"\n"})
	c.Push("app", "v1", fixture.SimpleImage("logs"))
	const secret = "c2VjcmV0OnNlY3JldA=="
	a := c.Do(wire.Request{Method: "GET", Path: wire.ManifestPath("app", "v1") + "?token=" + secret, Header: map[string]string{"Authorization": "Basic " + secret, "User-Agent": "e2e"}}).Want(200)
	s.Stop()

	found := false
	for line := range strings.Lines(s.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("no JSON in the log: %s", line)
		}
		if entry["path"] == wire.ManifestPath("app", "v1") && entry["method"] == "GET" {
			found = true
			if entry["status"] != 200.0 || entry["agent"] != "e2e" || entry["request"] != a.Header.Get("X-Request-Id") {
				t.Errorf("the access log says %s", line)
			}
		}
	}
	written, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	if !found || !strings.Contains(string(written), `"PUT"`) || strings.Contains(string(written), `"GET"`) {
		t.Errorf("access:\n%s\naudit:\n%s", s.Log(), written)
	}
	if strings.Contains(s.Log()+string(written), secret) {
		t.Error("a credential is in the logs")
	}
}
