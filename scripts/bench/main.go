// Command bench measures berth beside docker-registry and nginx on this
// machine, prints a table of values, ratios and targets, and writes it to a
// page. scripts/bench/run installs and builds what it needs and starts it. A
// signal ends it at once: its servers end with it, and run removes their data.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
	"berth/bench/rows"
)

// settings are the command line.
type settings struct {
	env    rows.Env
	only   string
	out    string
	notes  string
	strict bool
	quiet  bool
	load   string // load average before the first measurement
}

func main() {
	s, err := parse(os.Args[1:])
	if err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.StringVar(&s.env.Berth, "berth", "bin/berth", "berth's `binary`")
	set.StringVar(&s.env.Dir, "dir", "", "existing `folder` for data; it is left empty")
	set.IntVar(&s.env.CPU, "cpu", -1, "`processor` that the servers run on; below 0: any")
	set.StringVar(&s.env.Gateway, "gateway", "", "versitygw's `binary`, for rows on a bucket")
	set.IntVar(&s.env.Rounds, "rounds", 5, "`turns` of each server")
	set.DurationVar(&s.env.Time, "time", 3*time.Second, "`length` of a timed sample")
	set.StringVar(&s.only, "only", "", "measure only these `rows`, by comma; do not write the page. Rows: "+strings.Join(keys(), ", "))
	servers := set.String("servers", "berth,docker-registry,nginx", "measure only these `servers`, by comma; do not write the page unless all")
	set.StringVar(&s.out, "out", "", "`page` to write")
	set.StringVar(&s.notes, "notes", "", "`file` of notes to take into the page")
	set.BoolVar(&s.strict, "strict", false, "fail when a target is missed")
	set.BoolVar(&s.quiet, "quiet", false, "do not tell single samples")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(*servers, ",") {
		s.env.Kinds = append(s.env.Kinds, peer.Kind(name))
	}
	if s.only != "" || len(s.env.Kinds) < 3 {
		s.out = ""
	}
	if s.env.Dir == "" {
		return nil, errors.New("-dir is missing; scripts/bench/run gives it")
	}
	s.env.Say = func(format string, args ...any) {
		if !s.quiet {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}
	}
	return s, nil
}

func keys() []string {
	var all []string
	for _, r := range rows.All() {
		all = append(all, r.Key)
	}
	return all
}

// chosen are the rows to measure.
func chosen(only string) ([]rows.Row, error) {
	if only == "" {
		return rows.All(), nil
	}
	wanted := strings.Split(only, ",")
	for _, key := range wanted {
		if !slices.Contains(keys(), key) {
			return nil, fmt.Errorf("there is no row %q; there are %s", key, strings.Join(keys(), ", "))
		}
	}
	return slices.DeleteFunc(rows.All(), func(r rows.Row) bool { return !slices.Contains(wanted, r.Key) }), nil
}

func run(s *settings) error {
	if err := clean(s.env.Dir); err != nil {
		return err
	}
	todo, err := chosen(s.only)
	if err != nil {
		return err
	}
	s.load = probe.Load()
	lines, failed := measure(s, todo)
	report.Text(os.Stdout, lines)
	if s.out != "" {
		if err := writePage(s, lines); err != nil {
			return errors.Join(failed, err)
		}
	}
	missed := report.Missed(lines)
	fmt.Printf("\n%d targets missed\n", missed)
	if failed == nil && missed > 0 && s.strict {
		return errors.New("targets missed")
	}
	return failed
}

// measure runs the rows. One that fails misses its targets, and the others go
// on.
func measure(s *settings, todo []rows.Row) (lines []report.Line, failed error) {
	for _, r := range todo {
		s.env.Say("%s", r.Key)
		more, err := r.Run(&s.env)
		lines = append(lines, more...)
		if err != nil {
			err = fmt.Errorf("%s: %w", r.Key, err)
			failed = errors.Join(failed, err)
			reason, _, _ := strings.Cut(err.Error(), "\n")
			lines = append(lines, report.Line{Work: r.Key, Measure: "could not be measured", Berth: reason, Verdict: report.Miss})
		}
	}
	return lines, failed
}

// clean refuses a folder with something in it: measurements remove what they
// make, and must not meet anything else.
func clean(dir string) error {
	content, err := os.ReadDir(dir)
	if err == nil && len(content) > 0 {
		err = fmt.Errorf("%s is not empty", dir)
	}
	return err
}
