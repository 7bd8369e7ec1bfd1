package main

import (
	"strings"
	"testing"
	"time"

	"berth/tasks"
)

// TestPrintTasks: what berth tasks shows.
func TestPrintTasks(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var out strings.Builder
	err := printTasks(&out, []tasks.Status{
		{Name: "gc", State: tasks.Running, Began: now.Add(-time.Minute), Done: 12, Total: 40, Unit: "blobs"},
		{Name: "gc /usb", State: tasks.Waiting, Result: "nothing to collect", Last: now.Add(-90 * time.Minute), Took: 1200 * time.Millisecond, Next: now.Add(49 * time.Hour)},
		{Name: "dedupe", State: tasks.Waiting, Result: "no\nluck\x1b[31m", Failed: true, Last: now.Add(-61 * time.Second), Took: 5 * time.Millisecond},
		{Name: "scrub", State: tasks.Paused, Why: "requests are being answered", Done: 3 << 29, Total: 20 << 30, Unit: "bytes"},
		{Name: "sync", State: tasks.Waiting, Next: now.Add(-time.Second)},
		{Name: "walk", State: tasks.Running, Done: 700, Unit: "bytes"},
	}, now)
	want := strings.TrimPrefix(`
TASK     STATE                                PROGRESS                   LAST RUN   TOOK  LAST RESULT           NEXT RUN
gc       running                              12 of 40 blobs (30 %)      -          -     -                     now
gc /usb  waiting                              -                          1h30m ago  1s    nothing to collect    in 2d1h
dedupe   waiting                              -                          1m01s ago  5ms   failed: no luck?[31m  -
scrub    paused: requests are being answered  1.5 GiB of 20.0 GiB (7 %)  -          -     -                     now
sync     waiting                              -                          -          -     -                     now
walk     running                              700 bytes                  -          -     -                     now
`, "\n")
	if err != nil || out.String() != want {
		t.Errorf("got\n%swant\n%s%v", out.String(), want, err)
	}
}
