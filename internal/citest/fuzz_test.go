//go:build unix

package citest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// module has three fuzz targets: one finds a fault, one finds none, and one is in a
// package without other tests.
var module = map[string]string{
	"go.mod": "module example.org/fuzzed\n\ngo 1.26.0\n",
	"a_test.go": `package fuzzed

import "testing"

func FuzzBroken(f *testing.F) {
	f.Add("seed")
	f.Fuzz(func(t *testing.T, s string) {
		if s != "seed" {
			t.Fatal("the input is not the seed")
		}
	})
}

func FuzzSound(f *testing.F) {
	f.Fuzz(func(*testing.T, string) {})
}
`,
	"below/a.go": "package below\n",
	"below/a_test.go": `package below_test

import "testing"

func FuzzBelow(f *testing.F) {
	f.Fuzz(func(*testing.T, []byte) {})
}
`,
}

// makeModule writes files, and the scripts, into a folder of their own.
func makeModule(t *testing.T, files map[string]string) string {
	t.Helper()
	_, err := exec.LookPath("bash")
	require.Need(t, "bash", err == nil, "bash is not on the PATH")
	dir := t.TempDir()
	for _, name := range []string{".ci/fuzz", ".ci/run"} {
		script, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(script))
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o777); err != nil {
		t.Fatal(err)
	}
}

// fuzz runs the script of a module, and returns what it prints and its exit code.
func fuzz(t *testing.T, dir string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{".ci/fuzz"}, args...)...)
	cmd.Dir = dir
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(printed), cmd.ProcessState.ExitCode()
}

func TestFuzzListsEveryTarget(t *testing.T) {
	t.Parallel()
	output, code := fuzz(t, makeModule(t, module), "list")
	if want := ". FuzzBroken\n. FuzzSound\n./below FuzzBelow\n"; output != want || code != 0 {
		t.Errorf("%q, exit code %d; want %q", output, code, want)
	}
}

// .ci/fuzz names each finding and runs the other targets, too. go test runs the finding
// as a seed.
func TestFuzzSavesFindings(t *testing.T) {
	t.Parallel()
	dir := makeModule(t, module)
	output, code := fuzz(t, dir, "100x")
	finding := regexp.MustCompile(`(?m)^  \. FuzzBroken: \./(testdata/fuzz/FuzzBroken/\w+)$`).FindStringSubmatch(output)
	if code != 1 || finding == nil || !strings.Contains(output, "they are seeds") {
		t.Fatalf("exit code %d, and the finding is not named:\n%s", code, output)
	}
	for _, target := range []string{"FuzzSound of .", "FuzzBelow of ./below"} {
		if !strings.Contains(output, target) {
			t.Errorf("%s is not run:\n%s", target, output)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, finding[1])); err != nil {
		t.Error(err)
	}
	plain := exec.CommandContext(t.Context(), "go", "test", "-run", "^Fuzz", ".")
	plain.Dir = dir
	if printed, err := plain.CombinedOutput(); err == nil || !strings.Contains(string(printed), filepath.Base(finding[1])) {
		t.Errorf("go test does not run it: %v\n%s", err, printed)
	}
	if output, code = fuzz(t, dir, "100x"); code != 1 || !strings.Contains(output, "FuzzBroken: it fails without a new input") {
		t.Errorf("with the seed: exit code %d\n%s", code, output)
	}
}

func TestFuzzWithoutFindings(t *testing.T) {
	t.Parallel()
	sound := map[string]string{"go.mod": module["go.mod"], "below/a.go": module["below/a.go"], "below/a_test.go": module["below/a_test.go"]}
	if output, code := fuzz(t, makeModule(t, sound), "100x"); code != 0 || !strings.Contains(output, "nothing was found in 1 targets") {
		t.Errorf("exit code %d\n%s", code, output)
	}
}

func TestFuzzRefusesWrongArguments(t *testing.T) {
	t.Parallel()
	dir := makeModule(t, module)
	for _, argument := range []string{"", "0", "x", "5x5", "1m", "-1", "all"} {
		if output, code := fuzz(t, dir, argument); code != 2 || !strings.HasPrefix(output, ".ci/fuzz: ") {
			t.Errorf("%q: exit code %d\n%s", argument, code, output)
		}
	}
	empty := makeModule(t, map[string]string{"go.mod": module["go.mod"], "a.go": "package fuzzed\n"})
	if output, code := fuzz(t, empty, "1x"); code != 2 || !strings.Contains(output, "no fuzz target") {
		t.Errorf("no target: exit code %d\n%s", code, output)
	}
}
