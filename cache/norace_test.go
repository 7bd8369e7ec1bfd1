//go:build !race

package cache

const raceEnabled = false

const (
	damageEntries = 30_000  // enough for several tables
	damageStep    = 1       // every harm is tried
	randomDamages = 12      // are tried
	manyDigests   = 100_000 // show a damaged allocator
)
