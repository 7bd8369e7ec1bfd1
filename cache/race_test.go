//go:build race

package cache

const raceEnabled = true

// All is ten times slower: less is done, since what it does is proved without,
// and what is to be found here are races.
const (
	damageEntries = 4_000
	damageStep    = 5
	randomDamages = 4
	manyDigests   = 20_000
)
