package ops

import (
	"debug/elf"
	"os"
	"testing"

	"berth/e2e/harness"
)

// The binary that make build makes stays below 18 MB. What takes it past that at
// once is code through which the linker has to keep every method of every type.
func TestBinarySize(t *testing.T) {
	t.Parallel()
	path := harness.Binary(t)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".symtab") != nil {
		t.Skip("this binary has its symbols, which make build leaves out")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 18_000_000 // as scripts/bench has it
	if info.Size() > limit {
		t.Errorf("%s has %d bytes, more than %d: docs/ARCHITECTURE.md, \"The binary\", tells where to look first", path, info.Size(), limit)
	}
}
