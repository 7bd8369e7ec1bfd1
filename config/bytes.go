package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

var errBytes = errors.New(`a size is a number of bytes, or one with a unit, such as "64MiB", "1.5GiB" or "500MB"`)

// parseBytes reads a size: a decimal number and a unit of 1000 (kB, MB, GB,
// TB) or 1024 (KiB, MiB, GiB, TiB; K, M, G and T for short), in any case, with
// or without a space between them.
func parseBytes(s string) (int64, error) {
	split := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if split < 0 {
		split = len(s)
	}
	factor, ok := unit(strings.ToLower(strings.TrimSpace(s[split:])))
	if !ok {
		return 0, errBytes
	}
	if n, err := strconv.ParseInt(s[:split], 10, 64); err == nil {
		if n > math.MaxInt64/factor {
			return 0, errBytes
		}
		return n * factor, nil
	}
	f, err := strconv.ParseFloat(s[:split], 64)
	if err != nil || f*float64(factor) >= 1<<62 {
		return 0, errBytes
	}
	return int64(f * float64(factor)), nil
}

func unit(name string) (int64, bool) {
	switch name {
	case "", "b":
		return 1, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	case "tb":
		return 1e12, true
	case "k", "kib":
		return 1 << 10, true
	case "m", "mib":
		return 1 << 20, true
	case "g", "gib":
		return 1 << 30, true
	case "t", "tib":
		return 1 << 40, true
	}
	return 0, false
}
