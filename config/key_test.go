package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestDefaultTOML: a file that sets every key to its default changes nothing.
func TestDefaultTOML(t *testing.T) {
	var file strings.Builder
	for _, k := range Keys() {
		if v := k.DefaultTOML(); v != "" {
			fmt.Fprintf(&file, "%s = %s\n", k.Path, v)
		} else if k.Default != "" && k.entries == nil {
			t.Errorf("%s: the default %q has no form in TOML", k.Path, k.Default)
		}
	}
	got, want := mustLoad(t, "berth.toml", file.String()), Default()
	got.origins, want.origins = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
