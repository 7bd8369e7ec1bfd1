//go:build race

package cache

const raceEnabled = true

// damageEntries are fewer than else: all is ten times slower.
const damageEntries = 12_000
