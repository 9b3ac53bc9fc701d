package cli

import (
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Every flag accepts the forms of its kind. The kind is the word for its argument in the
// help text.
func TestFormsOfValues(t *testing.T) {
	forms := map[string][2][]string{ // by kind: accepted, and refused
		"bytes":    {{"5242880", "6M", "6MiB", "6.5MB", `"7m"`, " 8 M "}, {"-1", "6X", "8E", "5M5", `"6M`, "0.1K1"}},
		"duration": {{"90s", "2m", "0.5h", `'3m'`, "1h 30m"}, {"60", "1x", "-1s", `"2m`}},
		"seconds":  {{"90", "2m", "1d", `"60"`}, {"x", "1.5s", `60"`}},
	}
	words := [2][]string{
		{"true", "TRUE", "t", "1", "yes", "Yes", "on", "ON", `"yes"`, "'on'"},
		{"false", "F", "0", "no", "No", "off", "OFF", `"no"`, "'off'"},
	}
	kinds := make(map[string]int)
	for _, s := range sections(new(config)) {
		s.flags.VisitAll(func(f *flag.Flag) {
			kind, _ := flag.UnquoteUsage(f)
			for i, values := range forms[kind] {
				for _, value := range values {
					if err := allFlags(new(config), new(error)).Set(f.Name, value); (err == nil) != (i == 0) {
						t.Errorf("-%s=%s: %v", f.Name, value, err)
					}
				}
			}
			if isBool(f) {
				kind = "bool"
				wantWords(t, f.Name, words)
			}
			kinds[kind]++
		})
	}
	for kind, least := range map[string]int{"bytes": 10, "duration": 8, "seconds": 1, "bool": 15} {
		if kinds[kind] < least {
			t.Errorf("only %d flags are a number of %s", kinds[kind], kind)
		}
	}
}

// wantWords sets a boolean flag from each source.
func wantWords(t *testing.T, name string, words [2][]string) {
	for i, on := range []bool{true, false} {
		want, wantErr := parse(fmt.Sprintf("-%s=%t", name, on))
		for _, word := range words[i] {
			got, err := parse("-" + name + "=" + word)
			if !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("-%s=%s: %v", name, word, err)
			}
			if name == versionFlag {
				continue
			}
			got, err = readConfig(nil, environment{variableOf(name): word})
			if got.sources = nil; !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s=%s: %v", variableOf(name), word, err)
			}
		}
	}
	for _, word := range []string{"maybe", "2", "", "yess", "none"} {
		if _, err := parse("-" + name + "=" + word); err == nil || !strings.Contains(err.Error(), "yes or no") {
			t.Errorf("-%s=%s: %v", name, word, err)
		}
	}
}
