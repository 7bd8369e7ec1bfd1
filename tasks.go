package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"berth/tasks"

	"golang.org/x/sys/unix"
)

// runTasks lists what the running server does in the background.
func runTasks(args []string, stdout, _ io.Writer) error {
	asJSON := false
	from, err := verbArguments("tasks", args, map[string]*bool{"json": &asJSON}, "root")
	if errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	}
	if err != nil {
		return err
	}
	cfg, err := load(from)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	var all []tasks.Status
	err = askServer(ctx, cfg, "tasks", nil, func(line json.RawMessage) error {
		var st tasks.Status
		if err := json.Unmarshal(line, &st); err != nil {
			return fmt.Errorf("the server's answer is not understood: %w", err)
		}
		all = append(all, st)
		if asJSON {
			_, err := fmt.Fprintf(stdout, "%s\n", line)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("berth tasks: %w", err)
	}
	if asJSON {
		return nil
	}
	return printTasks(stdout, all, time.Now())
}

// listTasks is the server's side: a line for each job.
func (p *process) listTasks(_ context.Context, _ []string, out func(any) error) error {
	for _, st := range p.upkeep.List() {
		if err := out(st); err != nil {
			return err
		}
	}
	return nil
}

// printTasks prints the jobs as a table.
func printTasks(w io.Writer, all []tasks.Status, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "the server does nothing in the background")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TASK\tSTATE\tPROGRESS\tLAST RUN\tTOOK\tLAST RESULT\tNEXT RUN")
	for _, st := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", st.Name, stateOf(st), progressOf(st),
			ago(st.Last, now), tookOf(st), resultOf(st), nextOf(st, now))
	}
	return table.Flush()
}

func stateOf(st tasks.Status) string {
	if st.Why == "" {
		return string(st.State)
	}
	return string(st.State) + ": " + st.Why
}

// progressOf is how far a round is: "12 of 40 blobs (30 %)".
func progressOf(st tasks.Status) string {
	switch {
	case st.Unit == "":
		return "-"
	case st.Total <= 0:
		return amount(st.Done, st.Unit)
	}
	share := fmt.Sprintf(" (%d %%)", int(100*float64(min(st.Done, st.Total))/float64(st.Total)))
	if st.Unit == "bytes" {
		return amount(st.Done, st.Unit) + " of " + amount(st.Total, st.Unit) + share
	}
	return fmt.Sprintf("%d of %d %s", st.Done, st.Total, st.Unit) + share
}

// amount is a count with its unit; bytes get one that suits their number.
func amount(n int64, unit string) string {
	if unit != "bytes" || n < 1<<10 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	size, units := float64(n)/(1<<10), []string{"KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && size >= 1<<10 {
		size, units = size/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %s", size, units[0])
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return about(now.Sub(t)) + " ago"
}

func tookOf(st tasks.Status) string {
	if st.Last.IsZero() {
		return "-"
	}
	return about(st.Took)
}

func resultOf(st tasks.Status) string {
	// On one line, and with nothing in it that a terminal obeys.
	result := strings.Join(strings.Fields(st.Result), " ")
	result = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, result)
	switch {
	case st.Last.IsZero():
		return "-"
	case st.Failed:
		return "failed: " + result
	}
	return result
}

func nextOf(st tasks.Status, now time.Time) string {
	switch {
	case st.State != tasks.Waiting, !st.Next.IsZero() && !st.Next.After(now):
		return "now"
	case st.Next.IsZero():
		return "-"
	}
	return "in " + about(st.Next.Sub(now))
}

// about is a duration in the one or two units that matter.
func about(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
