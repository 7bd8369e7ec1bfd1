package rows

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

const (
	scrubBlobs = 64
	scrubSize  = 16 << 20
	scrubSmall = 2000
)

// scrub compares berth scrub with sha256sum over the same files, in turns: from
// the medium and from memory.
func scrub(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	dir, err := e.dir()
	if err != nil {
		return nil, err
	}
	files, total, err := scrubImage(filepath.Join(dir, "image"))
	if err == nil {
		var lines []report.Line
		lines, err = e.scrubTurns(dir, files, total)
		if err == nil {
			return lines, os.RemoveAll(dir)
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

// scrubTurns measures both, in turns.
func (e *Env) scrubTurns(dir string, files []string, total int64) ([]report.Line, error) {
	var lines []report.Line
	for _, c := range []struct {
		what string
		cold bool
	}{{"from the medium", true}, {"from memory", false}} {
		rates := map[string][]float64{}
		for range max(e.Rounds, 1) {
			for name, line := range map[string][]string{
				"berth":     {e.Berth, "scrub", "--read-only", "--root", dir},
				"sha256sum": append([]string{"sha256sum"}, files...),
			} {
				rate, err := readRate(files, total, c.cold, line)
				if err != nil {
					return nil, err
				}
				rates[name] = append(rates[name], rate)
				e.Say("  %s, %s: %.0f MiB/s", name, c.what, rate)
			}
		}
		ratio := median(rates["berth"]) / median(rates["sha256sum"])
		lines = append(lines, report.Line{
			Work: fmt.Sprintf("scrub of %d MiB", total>>20), Measure: c.what + "; sha256sum reads " + fmt.Sprintf("%.0f MiB/s", median(rates["sha256sum"])),
			Berth: fmt.Sprintf("%.0f MiB/s", median(rates["berth"])), Ratio: fmt.Sprintf("%.2f", ratio),
			Target: "≥ 0.9 of sha256sum", Verdict: report.Judge(ratio >= 0.9),
		})
	}
	return lines, nil
}

// readRate runs a command that reads all files, in MiB a second.
func readRate(files []string, total int64, cold bool, line []string) (float64, error) {
	for _, name := range files {
		if err := warm(name, cold); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%.2000s", line[0], err, out)
	}
	return float64(total>>20) / time.Since(began).Seconds(), nil
}

// warm has a file in memory, or not.
func warm(name string, cold bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if cold {
		err := f.Sync()
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
			err = errors.Join(err, errno)
		}
		return err
	}
	_, err = f.WriteTo(discard{})
	return err
}

// dontNeed is POSIX_FADV_DONTNEED of posix_fadvise(2).
const dontNeed = 4

// discard takes everything, in pieces that are read.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// scrubImage makes a layout with one image of large layers and many small
// ones. It returns its blobs and their size together.
func scrubImage(dir string) (files []string, total int64, err error) {
	if err := layoutOf(dir); err != nil {
		return nil, 0, err
	}
	blobs := append(client.NewSource(scrubSize, scrubBlobs).Take(scrubBlobs), client.NewSource(8<<10, 4).Take(scrubSmall)...)
	for _, b := range blobs {
		files, total = append(files, blobFile(dir, b.Digest)), total+b.Size
	}
	return files, total, imageOf(dir, blobs)
}

// imageOf puts one image into an empty layout.
func imageOf(dir string, blobs []client.Blob) error {
	var layers []string
	for _, b := range blobs {
		layers = append(layers, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}`, b.Digest, b.Size))
		if err := writeParts(blobFile(dir, b.Digest), b.Parts); err != nil {
			return err
		}
	}
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, client.ManifestType, layers[0], strings.Join(layers, ","))
	m := client.NewBlob([]byte(body))
	if err := writeParts(blobFile(dir, m.Digest), m.Parts); err != nil {
		return err
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, client.ManifestType, m.Digest, len(body))
	return os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644)
}
