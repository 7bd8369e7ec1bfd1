package config

import "strings"

// nearest returns the candidate path that name most probably stands for, or
// "". The last parts have to be alike; that the sections are is better, but a
// key in the wrong section is found too.
func nearest(name string, candidates []string) string {
	section, last := splitPath(name)
	best, bestCost := "", len(last)/3+2
	for _, c := range candidates {
		cSection, cLast := splitPath(c)
		cost := distance(last, cLast)
		if len(last) > 3 && (strings.HasPrefix(cLast, last) || strings.HasPrefix(last, cLast)) {
			cost = min(cost, 1)
		}
		if section != cSection {
			cost++
		}
		if cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

// splitPath returns a path's section and last part, in lower case.
func splitPath(path string) (section, last string) {
	path = strings.ToLower(path)
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// maxCompared bounds the cost of a comparison; no key is nearly as long.
const maxCompared = 64

// distance is the Levenshtein distance in bytes, with a swap of neighbours
// counted as one.
func distance(a, b string) int {
	if len(a) > maxCompared || len(b) > maxCompared {
		return max(len(a), len(b))
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			swap := prev[j-1]
			if a[i-1] != b[j-1] {
				swap++
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, swap)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
