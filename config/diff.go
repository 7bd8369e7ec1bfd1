package config

import "reflect"

// Changes returns the keys whose values differ, in the order of the table.
func Changes(before, after *Config) []Key {
	var changed []Key
	for _, k := range keys() {
		if !reflect.DeepEqual(k.field(before), k.field(after)) {
			changed = append(changed, k)
		}
	}
	return changed
}
