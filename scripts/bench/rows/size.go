package rows

import (
	"debug/elf"
	"fmt"
	"os"

	"berth/bench/peer"
	"berth/bench/report"
)

// size measures berth's binary.
func size(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	info, err := os.Stat(e.Berth)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(e.Berth)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const limit = 18_000_000
	stripped := f.Section(".symtab") == nil && f.Section(".debug_info") == nil
	measure := "size"
	if !stripped {
		measure = "size, NOT stripped"
	}
	return []report.Line{{
		Work: "stripped binary", Measure: measure,
		Berth:  fmt.Sprintf("%.1f MB", float64(info.Size())/1e6),
		Target: "≤ 18 MB", Verdict: report.Judge(stripped && info.Size() <= limit),
	}}, nil
}
