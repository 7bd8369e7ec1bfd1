package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"
	"google.golang.org/protobuf/proto"
)

// checkFiles looks at every file of a Badger directory before Badger does,
// which panics in goroutines of its own, or exits, over many kinds of damage.
// unclean reports that there are entries in a write-ahead log, which means that
// it was not closed. Call it within guard.
func checkFiles(dir string) (unclean bool, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	found := make(map[uint64]bool)
	for _, entry := range names {
		path, name := filepath.Join(dir, entry.Name()), entry.Name()
		switch {
		case name == "LOCK", name == "MANIFEST", name == "MANIFEST-REWRITE", name == "KEYREGISTRY":
		case name == "DISCARD":
			err = checkDiscard(path)
		case strings.HasSuffix(name, ".mem"):
			var entries int
			entries, err = checkLog(path, 2*memTableSize)
			unclean = unclean || entries > 0
		case strings.HasSuffix(name, ".vlog"):
			_, err = checkLog(path, 2*valueLogSize)
		case strings.HasSuffix(name, ".sst"):
			id, ok := table.ParseFileID(name)
			if !ok {
				err = fmt.Errorf("%s is no name of a table", name)
			}
			found[id] = true
		default:
			err = fmt.Errorf("%s does not belong there", name)
		}
		if err != nil {
			return unclean, err
		}
	}
	if err := checkRegistry(dir); err != nil {
		return unclean, err
	}
	return unclean, checkTables(dir, found, unclean)
}

// checkRegistry opens the registry of keys, which holds none: nothing is
// encrypted.
func checkRegistry(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "KEYREGISTRY")); err != nil {
		return err
	}
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: dir, ReadOnly: true})
	if err != nil {
		return err
	}
	return registry.Close()
}

// checkDiscard checks the size of the table of discarded values, which Badger
// maps into memory.
func checkDiscard(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if size := info.Size(); size != valueLogSize {
		return fmt.Errorf("%s has %d bytes in place of %d", path, size, valueLogSize)
	}
	return nil
}

// checkTables compares the manifest with the tables that are there, and checks
// each that it names. A table too many is damage too: it tells that the manifest
// lost its end. Only a process that was killed leaves such, which it was about to
// name or to remove: Badger removes them then, and what is lost where they are
// of the other kind, the recount of probe shows.
func checkTables(dir string, found map[uint64]bool, unclean bool) error {
	manifest, err := readManifest(dir)
	if err != nil {
		return err
	}
	if len(manifest.Tables) < len(found) && !unclean {
		return fmt.Errorf("MANIFEST names %d tables, %d are there", len(manifest.Tables), len(found))
	}
	for id, t := range manifest.Tables {
		switch {
		case !found[id]:
			return fmt.Errorf("table %d is missing", id)
		case int(t.Level) >= maxLevels, t.KeyID != 0, t.Compression != options.None:
			return fmt.Errorf("MANIFEST describes table %d in a way that is never written", id)
		}
		if err := checkTable(table.NewFilename(id, dir)); err != nil {
			return fmt.Errorf("table %d: %w", id, err)
		}
	}
	return nil
}

// readManifest reads the whole manifest; a half-written end is damage.
func readManifest(dir string) (badger.Manifest, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return badger.Manifest{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return badger.Manifest{}, err
	}
	manifest, end, err := badger.ReplayManifestFile(f, 0, badgerOptions(dir, nil))
	if err == nil && end != info.Size() {
		err = fmt.Errorf("MANIFEST is readable up to byte %d of %d", end, info.Size())
	}
	return manifest, err
}

// checkTable checks a table's footer by itself and then, as Badger exits over a
// footer that makes no sense, all of its blocks by Badger's own reader.
func checkTable(path string) error {
	if err := checkFooter(path); err != nil {
		return err
	}
	mapped, err := z.OpenMmapFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	t, err := table.OpenTable(mapped, table.Options{
		BlockSize: 4 << 10, BloomFalsePositive: 0.01,
		Compression: options.None, ChkMode: options.OnTableAndBlockRead,
	})
	if err != nil {
		return err
	}
	return t.Close(-1)
}

// checkFooter verifies the index of a table, which lies at its end as
// index, length (4 bytes), checksum, its length (4 bytes).
func checkFooter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	sum, end, err := lastField(f, end, 64)
	if err != nil {
		return err
	}
	index, _, err := lastField(f, end, end)
	if err != nil {
		return err
	}
	var expected pb.Checksum
	if err := proto.Unmarshal(sum, &expected); err != nil {
		return err
	}
	return y.VerifyChecksum(index, &expected)
}

// lastField reads the field whose length is in the four bytes before end, and
// returns where it begins.
func lastField(f *os.File, end, most int64) ([]byte, int64, error) {
	var size [4]byte
	if end < 4 {
		return nil, 0, errors.New("it is cut short")
	}
	if _, err := f.ReadAt(size[:], end-4); err != nil {
		return nil, 0, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	begin := end - 4 - n
	if n == 0 || n > most || begin < 0 {
		return nil, 0, fmt.Errorf("its footer tells of a field of %d bytes", n)
	}
	field := make([]byte, n)
	_, err := f.ReadAt(field, begin)
	return field, begin, err
}
