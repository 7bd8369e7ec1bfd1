//go:build !race

package cache

const raceEnabled = false

// damageEntries is enough for several tables.
const damageEntries = 30_000
