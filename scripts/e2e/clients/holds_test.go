package clients

import (
	"bytes"
	"fmt"
	"os"

	"berth/e2e/fixture"
)

// holds reports what of a node and all that it reaches a layout lacks.
func holds(layout string, root fixture.Node) error {
	for _, n := range root.All() {
		got, err := os.ReadFile(fixture.BlobPath(layout, n.Desc))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, n.Content) {
			return fmt.Errorf("%s holds other bytes for %s", layout, n.Desc.Digest)
		}
	}
	return nil
}
