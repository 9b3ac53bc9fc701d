package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCIFuzzesWithTheCorpus(t *testing.T) {
	mustPass(t, checkFuzzTargets)
	mustFail(t, checkFuzzTargets, map[string]string{".ci/run": "go test -run '^$' -fuzz \"^$target\" -fuzztime 30000x .\ngo test -run '^Fuzz' .\n"})
	mustFail(t, checkFuzzTargets, map[string]string{".ci/run": "go test ./...\n"})
}

var (
	newInputs    = regexp.MustCompile(`go test .*-fuzz\b`)
	corpusInputs = regexp.MustCompile(`go test .*-run '\^Fuzz'`)
)

// checkFuzzTargets checks that CI is deterministic: .ci/run runs the fuzz targets with
// the inputs of the corpus only; .ci/fuzz searches for new inputs.
func checkFuzzTargets(tree fs.FS) (violations []string, err error) {
	script, err := fs.ReadFile(tree, ".ci/run")
	switch {
	case err != nil:
		return nil, err
	case newInputs.Match(script):
		violations = append(violations, ".ci/run fuzzes with new inputs, so that an old fault fails new work")
	case !corpusInputs.Match(script):
		violations = append(violations, ".ci/run does not run the fuzz targets with their corpus")
	}
	return violations, nil
}

func TestCIRequiresAll(t *testing.T) {
	mustPass(t, checkRequired)
	mustFail(t, checkRequired, map[string]string{
		".ci/run":   "readonly required=node,mounts\n",
		"a_test.go": `require.Need(t, "mounts", ok, "") ; require.Need(t, "redis-cluster", ok, "")`,
		"b/b.go":    `require.Need(tb, "node", ok, "")`,
	})
}

var (
	needed   = regexp.MustCompile(`require\.Need\(\w+, "([^"]+)"`)
	required = regexp.MustCompile(`(?m)^readonly required=(.*)$`)
)

// checkRequired checks that CI skips no test: CI requires every component without which
// a test is skipped.
func checkRequired(tree fs.FS) (violations []string, err error) {
	script, err := fs.ReadFile(tree, ".ci/run")
	if err != nil {
		return nil, err
	}
	list := required.FindSubmatch(script)
	if list == nil {
		return []string{".ci/run does not say what is required"}, nil
	}
	there := strings.Split(string(list[1]), ",")
	err = walk(tree, func(name string) error {
		if path.Ext(name) != ".go" || name == "internal/archtest/ci_test.go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		for _, match := range needed.FindAllSubmatch(source, -1) {
			if component := string(match[1]); !slices.Contains(there, component) {
				violations = append(violations, fmt.Sprintf("%s needs %s, which .ci/run does not require", name, component))
			}
		}
		return err
	})
	return violations, err
}
