package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/oci"
)

// fullChild uses an index on a small file system of its own while somebody else
// fills that up and makes room again, and stops while it is full. A write to
// its files at that time would end the process.
func fullChild(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		return err
	}
	ctx := context.Background()
	walks := 0
	opt := Options{Dir: filepath.Join(dir, "index"), Floor: 32 << 20, Group: time.Millisecond,
		Rebuild: func(context.Context, func(oci.Digest, oci.Repo) error) error { walks++; return nil }}
	x, stop := startIndex(opt)
	next := 0
	for round := range 3 {
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); next++ {
			x.Add(ctx, dig(next), "library/app")
		}
		if err := fillDisk(ctx, x, filepath.Join(dir, "fill"), func() oci.Digest { next++; return dig(next - 1) }); err != nil {
			return err
		}
		if err := stoppedWriting(ctx, x); err != nil {
			return err
		}
		if round == 1 {
			stop()
			x, stop = startIndex(opt)
			if _, err := x.Holders(ctx, dig(0), 0); err != oci.ErrNoHint {
				return fmt.Errorf("opened on a full disk: %v", err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
			return err
		}
		if err := writesAgain(ctx, x, dig(-round)); err != nil {
			return err
		}
	}
	stop()
	fmt.Printf("noted %d, walked %v\n", next, walks > 1)
	return nil
}

// fillDisk writes a file until there is no space, as fast as a good disk, while
// the index takes notes. However slow this process is beside that, the index
// looks at what is left before half of what it keeps free is gone.
func fillDisk(ctx context.Context, x *Index, path string, next func() oci.Digest) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 256<<10)
	for i := 1; ; i++ {
		time.Sleep(2 * time.Millisecond)
		x.Add(ctx, next(), "library/app")
		if i%64 == 0 {
			x.Flush(ctx)
		}
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func stoppedWriting(ctx context.Context, x *Index) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if x.Add(ctx, dig(-100), "library/app") == oci.ErrNoHint {
			return nil
		}
	}
	return errors.New("it takes notes though the disk is full")
}

func writesAgain(ctx context.Context, x *Index, d oci.Digest) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if x.Add(ctx, d, "library/app") != nil || x.Flush(ctx) != nil {
			continue
		}
		if repos, err := x.Holders(ctx, d, 0); err == nil && len(repos) == 1 {
			return nil
		}
	}
	return errors.New("it does not write though there is space again")
}

func TestAFullDisk(t *testing.T) {
	cmd := child(t, "full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "walked true") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRandomDamage harms files at random places; whether it must be found out
// or not, every entry has to be there in the end.
func TestRandomDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	closed, killed := closedIndex(t), killedIndex(t)
	for i := range randomDamages {
		dir := t.TempDir()
		check(t, os.CopyFS(dir, os.DirFS([]string{closed, killed}[i%2])))
		names, err := filepath.Glob(filepath.Join(dir, "db-*", "*"))
		check(t, err)
		name := names[random.IntN(len(names))]
		edit(t, name, func(b []byte) []byte {
			for range 1 + random.IntN(3) {
				if len(b) > 0 {
					b[random.IntN(min(len(b), 60_000))] ^= byte(1 + random.IntN(255))
				}
			}
			if random.IntN(4) == 0 {
				b = b[:random.IntN(len(b)+1)]
			}
			return b
		})
		t.Log(filepath.Base(name), runChild(t, "use", dir))
	}
}
