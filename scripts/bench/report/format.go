package report

import (
	"fmt"
	"strconv"
	"time"
)

// MiB is a size in MiB.
func MiB(bytes float64) string { return strconv.FormatFloat(bytes/(1<<20), 'f', 1, 64) + " MiB" }

// PerSecond is a rate of operations.
func PerSecond(rate float64) string { return grouped(rate) + "/s" }

// Throughput is a rate of bytes.
func Throughput(bytes float64) string { return grouped(bytes/(1<<20)) + " MiB/s" }

// Milliseconds is a short time, given in seconds.
func Milliseconds(seconds float64) string {
	return strconv.FormatFloat(seconds*1e3, 'f', precision(seconds*1e3), 64) + " ms"
}

// Microseconds is a very short time, given in seconds.
func Microseconds(seconds float64) string {
	return strconv.FormatFloat(seconds*1e6, 'f', 1, 64) + " µs"
}

// CPUPerGiB is processor time, in seconds, for each GiB.
func CPUPerGiB(seconds float64) string {
	return strconv.FormatFloat(seconds, 'f', 3, 64) + " s/GiB"
}

// Ratio is how many times one value is of another.
func Ratio(r float64) string { return strconv.FormatFloat(r, 'f', 2, 64) + "×" }

// Spread adds half the range of the samples, relative to their median.
func Spread(value string, share float64) string {
	if share < 0.005 {
		return value
	}
	return fmt.Sprintf("%s ±%.0f %%", value, share*100)
}

// Seconds is a duration in seconds.
func Seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s" }

func precision(ms float64) int {
	if ms < 10 {
		return 2
	}
	return 1
}

// grouped is a number with thousands apart.
func grouped(f float64) string {
	if f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	s := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
