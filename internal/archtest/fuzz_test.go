package archtest

import (
	"io/fs"
	"regexp"
	"testing"
)

func TestCIRunsNoNewInputs(t *testing.T) {
	mustHold(t, checkKeptInputs)
	mustComplain(t, checkKeptInputs, map[string]string{".ci/run": "go test -run '^$' -fuzz \"^$target\" -fuzztime 30000x .\ngo test -run '^Fuzz' .\n"})
	mustComplain(t, checkKeptInputs, map[string]string{".ci/run": "go test ./...\n"})
}

var (
	newInputs  = regexp.MustCompile(`go test .*-fuzz\b`)
	keptInputs = regexp.MustCompile(`go test .*-run '\^Fuzz'`)
)

// checkKeptInputs keeps CI deterministic: .ci/run runs the fuzz targets on kept
// inputs; .ci/fuzz searches for new ones.
func checkKeptInputs(tree fs.FS) (complaints []string, err error) {
	script, err := fs.ReadFile(tree, ".ci/run")
	switch {
	case err != nil:
		return nil, err
	case newInputs.Match(script):
		complaints = append(complaints, ".ci/run fuzzes with new inputs, so that an old fault fails new work")
	case !keptInputs.Match(script):
		complaints = append(complaints, ".ci/run does not run the fuzz targets on their kept inputs")
	}
	return complaints, nil
}
