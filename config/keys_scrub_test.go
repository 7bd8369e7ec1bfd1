package config

import (
	"testing"
	"time"
)

// A section that gives an interval alone turns the scrub on, as in files of the
// reference registry.
func TestScrubSection(t *testing.T) {
	for content, want := range map[string]Scrub{
		`{}`:                          {false, 24 * time.Hour},
		`{"extensions":{}}`:           {false, 24 * time.Hour},
		`{"extensions":{"scrub":{}}}`: {false, 24 * time.Hour},
		`{"extensions":{"scrub":{"enable":true}}}`:                      {true, 24 * time.Hour},
		`{"extensions":{"scrub":{"interval":"12h"}}}`:                   {true, 12 * time.Hour},
		`{"extensions":{"scrub":{"enable":false,"interval":"12h"}}}`:    {false, 12 * time.Hour},
		`{"Extensions":{"Scrub":{"Enable":true,"Interval":"48h0m0s"}}}`: {true, 48 * time.Hour},
	} {
		if got := mustLoad(t, "zot.json", content).Extensions.Scrub; got != want {
			t.Errorf("%s: %+v, want %+v", content, got, want)
		}
	}
}
