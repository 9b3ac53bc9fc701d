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

// runSteps are the steps of .ci/run, in the order of a whole run.
var runSteps = []string{"lint", "cross", "fuzz", "kubernetes", "offline", "services", "hostile", "tests"}

// machine is a module with the scripts and with fake tools, which log their calls.
type machine struct {
	dir, bin, calls string
}

// newMachine makes a machine whose user has the number uid, and where the Go tools of CI
// are installed.
func newMachine(t *testing.T, uid string) *machine {
	t.Helper()
	dir := makeModule(t, module)
	err := exec.Command("bash", "-c", "((BASH_VERSINFO[0] >= 4))").Run()
	require.Need(t, "bash", err == nil, "this bash is older than version 4")
	m := &machine{dir: dir, bin: filepath.Join(dir, "bin"), calls: filepath.Join(dir, "calls")}
	for _, name := range []string{
		"bin/go", "bin/gofmt", "bin/apt-get", "bin/unshare",
		"cache/bin/staticcheck-v0.8.2/staticcheck", "cache/bin/gotestsum-v1.13.0/gotestsum",
	} {
		write(t, filepath.Join(dir, name), "#!/bin/sh\necho \"${0##*/} $*\" >>"+m.calls+"\n")
	}
	write(t, filepath.Join(m.bin, "id"), "#!/bin/sh\necho "+uid+"\n")
	write(t, filepath.Join(m.bin, "ip"), "#!/bin/sh\n")
	return m
}

// run runs the script, and returns what it prints and its exit code.
func (m *machine) run(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{".ci/run"}, args...)...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "PATH="+m.bin+":"+os.Getenv("PATH"), "TUSD_CI_CACHE="+filepath.Join(m.dir, "cache"))
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(printed), cmd.ProcessState.ExitCode()
}

// called returns the calls of tools so far, a line each.
func (m *machine) called(t *testing.T) string {
	t.Helper()
	calls, err := os.ReadFile(m.calls)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(calls)
}

// steps returns the steps that a run has begun, without its preparation.
func steps(output string) (begun []string) {
	for _, found := range regexp.MustCompile(`(?m)^== +\d+ s: (\w+): `).FindAllStringSubmatch(output, -1) {
		begun = append(begun, found[1])
	}
	return begun
}

func TestRunListsItsSteps(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "1000")
	help, code := m.run(t, "help")
	if code != 0 {
		t.Errorf("help: exit code %d", code)
	}
	var listed []string
	for _, found := range regexp.MustCompile(`(?m)^  (\w+) +\S`).FindAllStringSubmatch(help, -1) {
		listed = append(listed, found[1])
	}
	if strings.Join(listed, " ") != strings.Join(runSteps, " ") {
		t.Errorf("help lists %q, want %q:\n%s", listed, runSteps, help)
	}
	for _, wrong := range [][]string{{"nonsense"}, {"lint", "nonsense"}, {""}, {"lint fuzz"}} {
		output, code := m.run(t, wrong...)
		if code != 2 || !strings.Contains(output, `is no step`) || !strings.HasSuffix(output, help) {
			t.Errorf("%q: exit code %d, want 2 and the list:\n%s", wrong, code, output)
		}
	}
	if calls := m.called(t); calls != "" {
		t.Errorf("tools were called:\n%s", calls)
	}
}

func TestRunRunsTheGivenSteps(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "1000")
	output, code := m.run(t, "lint", "cross")
	if begun := strings.Join(steps(output), " "); begun != "lint cross" || code != 0 {
		t.Errorf("ran %q, exit code %d:\n%s", begun, code, output)
	}
	calls := m.called(t)
	if !strings.Contains(calls, "staticcheck ./...\n") || !strings.Contains(calls, "go build ./...\n") {
		t.Errorf("the steps have not called their tools:\n%s", calls)
	}
	if strings.Contains(calls, "apt-get") || strings.Contains(calls, "go install") {
		t.Errorf("something was installed that the steps do not need:\n%s", calls)
	}
}

// The module of the manifests is checked in its own folder.
func TestRunChecksTheModuleOfTheManifests(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "1000")
	write(t, filepath.Join(m.dir, "internal/kubernetestest/go.mod"), "module example.org/fuzzed/internal/kubernetestest\n")
	write(t, filepath.Join(m.bin, "go"), "#!/bin/sh\necho \"${PWD##*/}: ${0##*/} $*\" >>"+m.calls+"\n")
	output, code := m.run(t, "kubernetes")
	if calls := m.called(t); code != 0 || !strings.Contains(calls, "kubernetestest: go test -count=1 ./...\n") {
		t.Errorf("exit code %d:\n%s%s", code, output, calls)
	}
	write(t, filepath.Join(m.bin, "go"), "#!/bin/sh\n[ \"$*\" != \"vet ./...\" ]\n")
	if output, code = m.run(t, "kubernetes"); code != 1 {
		t.Errorf("exit code %d, want that of go vet:\n%s", code, output)
	}
}

func TestRunEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "1000")
	write(t, filepath.Join(m.bin, "gofmt"), "#!/bin/sh\necho a_test.go\n")
	output, code := m.run(t, "lint", "cross")
	if begun := strings.Join(steps(output), " "); begun != "lint" || code != 1 || !strings.Contains(output, "not formatted by gofmt: a_test.go") {
		t.Errorf("ran %q, exit code %d:\n%s", begun, code, output)
	}
	m = newMachine(t, "1000")
	write(t, filepath.Join(m.dir, "cache/bin/staticcheck-v0.8.2/staticcheck"), "#!/bin/sh\nexit 3\n")
	if output, code = m.run(t, "lint", "cross"); strings.Join(steps(output), " ") != "lint" || code != 3 {
		t.Errorf("exit code %d, want that of the last command of lint:\n%s", code, output)
	}
}

func TestRunRefusesWithoutRoot(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"offline"}, {"lint", "tests"}, nil} {
		m := newMachine(t, "1000")
		output, code := m.run(t, args...)
		if code != 1 || !strings.Contains(output, " needs root") || len(steps(output)) != 0 || m.called(t) != "" {
			t.Errorf("%q: exit code %d, and something was done:\n%s%s", args, code, output, m.called(t))
		}
	}
	m := newMachine(t, "0")
	output, code := m.run(t, "offline")
	if code != 0 || !strings.Contains(m.called(t), "unshare --net ") {
		t.Errorf("as root: exit code %d\n%s%s", code, output, m.called(t))
	}
}
