package places

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
)

// A berth without what is optional serves, joins what repositories hold alike
// when it is told to, and refuses a bucket by the key.
func TestMinimal(t *testing.T) {
	t.Parallel()
	binary := harness.BinaryMinimal(t)
	s, c := start(t, harness.Config{Binary: binary, Local: true})
	image := fixture.SimpleImage("minimal")
	c.Push("a", "v1", image)
	c.Push("b", "v1", image)
	c.PullWhole("b", "v1", image)
	if _, err := os.Stat(filepath.Join(s.Root, ".berth", "index")); err == nil {
		t.Error("there is a dedupe index")
	}
	s.Stop()
	file := harness.WriteFile(t, "berth.toml", "storage.rootDirectory = \""+s.Root+"\"\n")
	if out, err := exec.Command(binary, "dedupe", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantShared(t, s.Dir("a"), s.Dir("b"), image)
	for key, text := range map[string]string{
		"storage.storageDriver.name": "[storage.storageDriver]\nname = \"s3\"\nregion = \"eu-west-1\"\nbucket = \"b\"\n",
		"storage.cacheDriver.name": "[storage]\nremoteCache = true\n[storage.cacheDriver]\nname = \"dynamodb\"\nregion = \"eu-west-1\"\n" +
			"cacheTablename = \"t\"\n",
	} {
		out, err := exec.Command(binary, "verify", harness.WriteFile(t, "bucket.toml", text)).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), key) || !strings.Contains(string(out), "was built without") {
			t.Errorf("%s: %v\n%s", key, err, out)
		}
	}
}
