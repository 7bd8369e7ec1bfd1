// Package report turns measurements into the table that is printed and the
// page that is kept. It knows nothing of how anything was measured.
package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Verdict is how a line stands against its target.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "pass"
	Miss Verdict = "MISS"
	Info Verdict = "" // there is no target
)

// Judge is Pass or Miss.
func Judge(ok bool) Verdict {
	if ok {
		return Pass
	}
	return Miss
}

// Line is one measured value beside those of the peers.
type Line struct {
	Work    string // what was done; the same for neighbouring lines
	Measure string
	Berth   string // values with their units; "" where not measured
	Docker  string
	Nginx   string
	Ratio   string // of berth's value to that of the peer in the target
	Target  string
	Verdict Verdict
}

var header = []string{"work", "measure", "berth", "docker-registry", "nginx", "ratio", "target", ""}

func (l Line) cells() []string {
	return []string{l.Work, l.Measure, l.Berth, l.Docker, l.Nginx, l.Ratio, l.Target, string(l.Verdict)}
}

// rows are the cells of all lines, a work being named once.
func rows(lines []Line) [][]string {
	all := [][]string{header}
	last := ""
	for _, l := range lines {
		cells := l.cells()
		if l.Work == last {
			cells[0] = ""
		}
		last = l.Work
		all = append(all, cells)
	}
	return all
}

// Text writes the table for a terminal.
func Text(w io.Writer, lines []Line) {
	all := rows(lines)
	widths := widths(all)
	for _, cells := range all {
		fmt.Fprintln(w, strings.TrimRight(pad(cells, widths, "  "), " "))
	}
}

// Markdown writes the table for a page.
func Markdown(w io.Writer, lines []Line) {
	all := rows(lines)
	widths := widths(all)
	dashes := make([]string, len(widths))
	for i, width := range widths {
		dashes[i] = strings.Repeat("-", max(width, 3))
	}
	all = append([][]string{all[0], dashes}, all[1:]...)
	for _, cells := range all {
		fmt.Fprintf(w, "| %s |\n", pad(cells, widths, " | "))
	}
}

func widths(all [][]string) []int {
	most := make([]int, len(header))
	for _, cells := range all {
		for i, c := range cells {
			most[i] = max(most[i], utf8.RuneCountInString(c))
		}
	}
	return most
}

func pad(cells []string, widths []int, separator string) string {
	padded := make([]string, len(cells))
	for i, c := range cells {
		padded[i] = c + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c)))
	}
	return strings.Join(padded, separator)
}

// Missed counts the lines that miss their target.
func Missed(lines []Line) int {
	n := 0
	for _, l := range lines {
		if l.Verdict == Miss {
			n++
		}
	}
	return n
}
