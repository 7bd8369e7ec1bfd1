package main

import (
	"testing"

	"berth/config/manual"
)

// TestUsageIsUnderstood: the manual page and the completion are made from the
// usage, so its form has to be the one that they read.
func TestUsageIsUnderstood(t *testing.T) {
	commands := manual.Parse(usage)
	flags := 0
	for _, v := range commands.Verbs {
		if v.Text == "" {
			t.Errorf("nothing is said of berth %s", v.Name)
		}
		flags += len(v.Flags)
	}
	if len(commands.Verbs) < 6 || flags < 10 || len(commands.Notes) == 0 {
		t.Errorf("too little is understood: %+v", commands)
	}
}
