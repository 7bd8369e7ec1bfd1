package rows

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

// repush measures an image that goes into a second repository.
func repush(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	const work = "image of 8 × 8 MiB, pushed again elsewhere"
	var lines []report.Line
	for _, way := range []struct {
		what string
		push func(c *client.Conn, repo string, b client.Blob) error
	}{
		{"POST and PUT", (*client.Conn).PushBlob},
		{"HEAD, POST, PATCH and PUT", (*client.Conn).OfferBlob},
		{"mount", func(c *client.Conn, repo string, b client.Blob) error { return c.MountBlob(repo, repoName(0), b) }},
	} {
		var ratios, wrote []float64
		for range e.Rounds {
			settle()
			err := e.with(peer.Berth, options{}, func(i *instance) error {
				ratio, bytes, err := repushTurn(i, way.push)
				ratios, wrote = append(ratios, ratio), append(wrote, bytes)
				return err
			})
			if err != nil {
				return lines, err
			}
			last := len(wrote) - 1
			e.Say("  %-20s %.3f of the first push, %s written", way.what, ratios[last], report.MiB(wrote[last]))
		}
		lines = append(lines,
			report.Line{Work: work, Measure: way.what + ": time, of the first push's", Berth: fmt.Sprintf("%.3f", median(ratios)), Target: "≤ 1/3", Verdict: report.Judge(median(ratios) <= 1.0/3)},
			report.Line{Work: work, Measure: way.what + ": written to disk", Berth: fmt.Sprintf("%.0f KiB", median(wrote)/1024), Target: "≤ 64 KiB", Verdict: report.Judge(median(wrote) <= 64<<10)},
		)
	}
	return lines, nil
}

// repushTurn pushes an image twice and compares the second push with the
// first: its time, and the bytes that the server wrote.
func repushTurn(i *instance, push func(*client.Conn, string, client.Blob) error) (ratio, wrote float64, err error) {
	layers := client.NewSource(8<<20, 3).Take(8)
	conn := client.New(i.Addr)
	defer conn.Close()
	image := client.NewImage(layers[0])
	all := func(repo string, push func(*client.Conn, string, client.Blob) error) (time.Duration, error) {
		began := time.Now()
		for _, b := range append([]client.Blob{image.Config}, layers...) {
			if err := push(conn, repo, b); err != nil {
				return 0, err
			}
		}
		err := conn.PushManifest(repo, tagName(0), image.Manifest(0))
		return time.Since(began), err
	}
	first, err := all(repoName(0), (*client.Conn).OfferBlob)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(rest) // what belongs to the first push is written then
	before, err := writtenBy(i.Tree())
	if err != nil {
		return 0, 0, err
	}
	second, err := all(repoName(1), push)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(rest)
	after, err := writtenBy(i.Tree())
	return second.Seconds() / first.Seconds(), float64(after - before), err
}

// writtenBy is how many bytes a tree of processes has sent towards storage, what
// it took back before it got there left out (/proc/PID/io).
func writtenBy(t probe.Tree) (int64, error) {
	var sum int64
	for _, pid := range t.PIDs() {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return 0, err
		}
		for name, sign := range map[string]int64{"write_bytes: ": 1, "cancelled_write_bytes: ": -1} {
			_, rest, _ := bytes.Cut(append([]byte("\n"), content...), []byte("\n"+name))
			number, _, _ := bytes.Cut(rest, []byte("\n"))
			n, err := strconv.ParseInt(string(number), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("process %d: %s%w", pid, name, err)
			}
			sum += sign * n
		}
	}
	return sum, nil
}
