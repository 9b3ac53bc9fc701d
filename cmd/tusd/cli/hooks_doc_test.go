package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The commands in docs/hooks.md and in its examples are accepted, and all flags there exist.
func TestHooksDocFlags(t *testing.T) {
	commands := 0
	for _, name := range []string{"docs/hooks.md", "examples/hooks/http/endpoint.py", "examples/hooks/token/token.py", "examples/hooks/grpc/main.go", "examples/hooks/plugin/main.go"} {
		text, err := os.ReadFile("../../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^[^\w\n]*(?:FINISHED=\S+ )?tusd (-.*)$`).FindAllSubmatch(text, -1) {
			commands++
			args := strings.Fields(strings.Replace(string(found[1]), " -hooks-http-secret-file secret", "", 1)) // a file that the reader makes
			if _, err := readConfig(args, nil); err != nil {
				t.Errorf("%s: %q: %v", name, args, err)
			}
		}
		all := allFlags(new(config), new(error))
		for _, found := range regexp.MustCompile("`-([a-z0-9][a-z0-9-]*)[ `=]").FindAllSubmatch(text, -1) {
			if all.Lookup(string(found[1])) == nil {
				t.Errorf("%s: there is no flag -%s", name, found[1])
			}
		}
	}
	if commands != 7 {
		t.Errorf("there are %d commands", commands)
	}
}
