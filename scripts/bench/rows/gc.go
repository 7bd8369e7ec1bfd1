package rows

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

const (
	gcMemory  = 64 << 20 // bytes
	gcImage   = 10       // blobs of an image, its manifest among them
	gcPolling = 2 * time.Millisecond
)

// collect measures berth gc over one repository of 10,000, 30,000 and 100,000
// blobs, half of them garbage: the peak of memory, and whether time grows with
// the number. A second round, which finds nothing, is measured too.
func collect(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	var lines []report.Line
	least := map[string]float64{} // seconds for each blob of the smallest
	for _, n := range []int{10_000, 30_000, 100_000} {
		dir, err := e.dir()
		if err == nil {
			err = garbage(filepath.Join(dir, "one"), n)
		}
		if err != nil {
			return lines, err
		}
		settle()
		work := fmt.Sprintf("berth gc, %d blobs in one repository", n)
		for _, round := range []string{"half of them garbage", "nothing to collect"} {
			took, peak, said, err := e.gcOnce(dir)
			if err != nil {
				return lines, err
			}
			e.Say("  %s, %s: %.2f s, %s: %s", work, round, took, report.MiB(float64(peak)), said)
			each := took / float64(n)
			if least[round] == 0 {
				least[round] = each
			}
			lines = append(lines, report.Line{
				Work: work, Measure: round + ": CPU", Berth: fmt.Sprintf("%.2f s", took), Ratio: report.Ratio(each / least[round]),
				Target: "linear: ≤ 1.5× a blob of 10,000", Verdict: report.Judge(each <= 1.5*least[round]),
			}, report.Line{
				Work: work, Measure: round + ": peak anonymous memory", Berth: report.MiB(float64(peak)),
				Target: "< 64 MiB", Verdict: report.Judge(peak < gcMemory),
			})
		}
		if err := os.RemoveAll(dir); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// gcOnce runs berth gc and returns its CPU in seconds, its peak of anonymous
// memory in bytes, and the last line that it printed.
func (e *Env) gcOnce(root string) (cpu float64, peak int64, said string, err error) {
	cmd := exec.Command(e.Berth, "gc", "--root", root)
	cmd.Env = append(os.Environ(), "BERTH_STORAGE_GCDELAY=0s")
	out := &lastLine{}
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, 0, "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return 0, 0, "", fmt.Errorf("berth gc: %w", err)
			}
			return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak, out.text, nil
		case <-time.After(gcPolling):
			if m, err := (probe.Tree{Root: cmd.Process.Pid}).Memory(); err == nil { // it may have ended just now
				peak = max(peak, m.Anonymous)
			}
		}
	}
}

// lastLine keeps the last line of what is written.
type lastLine struct{ text string }

func (l *lastLine) Write(p []byte) (int, error) {
	lines := strings.Split(strings.TrimRight(string(p), "\n"), "\n")
	l.text = lines[len(lines)-1]
	return len(p), nil
}

// garbage makes a layout of n blobs: tagged images, and as many blobs that
// nothing names.
func garbage(dir string, n int) error {
	if err := layoutOf(dir); err != nil {
		return err
	}
	write := func(content string) (descriptor string, err error) {
		d := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
		return fmt.Sprintf(`{"mediaType":%%q,"digest":%q,"size":%d`, d, len(content)), os.WriteFile(blobFile(dir, d), []byte(content), 0o644)
	}
	var entries []string
	var failed error
	for image := range n / 2 / gcImage {
		var named []string
		for i := range gcImage - 1 {
			d, err := write(fmt.Sprintf("blob %d of image %d", i, image))
			failed = errors.Join(failed, err)
			named = append(named, fmt.Sprintf(d, "application/vnd.oci.image.layer.v1.tar")+"}")
		}
		d, err := write(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`, named[0], strings.Join(named, ",")))
		failed = errors.Join(failed, err)
		entries = append(entries, fmt.Sprintf(d, "application/vnd.oci.image.manifest.v1+json")+
			fmt.Sprintf(`,"annotations":{"org.opencontainers.image.ref.name":"v%d","io.berth.subject":""}}`, image))
	}
	for i := range n - n/2 {
		_, err := write(fmt.Sprintf("garbage %d", i))
		failed = errors.Join(failed, err)
	}
	index := `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",\n") + `]}`
	return errors.Join(failed, os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644))
}
