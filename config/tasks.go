package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// WorkerCount is how many tasks run at a time.
func (t Tasks) WorkerCount() int {
	if t.NumWorkers > 0 {
		return int(t.NumWorkers)
	}
	return int(t.Workers)
}

// WindowTimes returns the beginning and the end of the window, from midnight;
// both are 0 where it is always.
func (t Tasks) WindowTimes() (from, to time.Duration) {
	from, to, _ = parseWindow(t.Window) // it was checked
	return from, to
}

func checkWindow(value any) error {
	s, _ := word(value)
	_, _, err := parseWindow(s)
	return err
}

// parseWindow reads two times of the day, "01:00-05:00".
func parseWindow(s string) (from, to time.Duration, err error) {
	if s == "" {
		return 0, 0, nil
	}
	first, second, found := strings.Cut(s, "-")
	from, ok := timeOfDay(strings.TrimSpace(first))
	to, also := timeOfDay(strings.TrimSpace(second))
	switch {
	case !found || !ok || !also || from == lastTime:
		return 0, 0, errors.New(`a window is two times from "00:00" to "24:00", such as "01:00-05:00"`)
	case from == to:
		return 0, 0, errors.New("a window that begins when it ends never opens")
	}
	return from, to, nil
}

const lastTime = 24 * time.Hour

// timeOfDay reads hours and minutes, "5:00" or "05:00".
func timeOfDay(s string) (time.Duration, bool) {
	hours, minutes, _ := strings.Cut(s, ":")
	h, err := strconv.ParseUint(hours, 10, 8)
	m, also := strconv.ParseUint(minutes, 10, 8)
	if err != nil || also != nil || len(minutes) != 2 || m > 59 {
		return 0, false
	}
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	return d, d <= lastTime
}
