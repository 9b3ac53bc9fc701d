package cli

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The commands in docs/scaling.md are accepted, and all flags there exist.
func TestScalingDocFlags(t *testing.T) {
	page, err := os.ReadFile("../../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^tusd (.*)$`).FindAllSubmatch(page, -1)
	for _, found := range append(commands, regexp.MustCompile("`(-redis-url redis://[^`]*)`").FindAllSubmatch(page, -1)...) {
		args := strings.Fields(string(found[1]))
		if args[0] == "-redis-url" {
			args = append([]string{"-s3-bucket", "uploads", "-locker", "redis"}, args...)
		}
		if _, err := readConfig(args, nil); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	if len(commands) != 3 {
		t.Errorf("there are %d commands", len(commands))
	}
	all := allFlags(new(config), new(error))
	for _, found := range regexp.MustCompile("`-([a-z0-9][a-z0-9-]*)[ `=]").FindAllSubmatch(page, -1) {
		name := string(found[1])
		isPrefix := false // like -sweep-
		all.VisitAll(func(f *flag.Flag) {
			isPrefix = isPrefix || strings.HasSuffix(name, "-") && strings.HasPrefix(f.Name, name)
		})
		if all.Lookup(name) == nil && !isPrefix {
			t.Errorf("there is no flag -%s", name)
		}
	}
}
