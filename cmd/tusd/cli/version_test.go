package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// A plain build contains its commit. The test builds in a new repository: the source tree
// may be no repository, or a worktree, for which the go command finds no commit.
func TestVersionOfAPlainBuild(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	writeProgram(t, dir)
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=true", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("git", "init", "-q")
	run("git", "add", "-A")
	run("git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "test")
	commit := run("git", "rev-parse", "HEAD")
	program := filepath.Join(t.TempDir(), "tusd.exe")
	for _, modified := range []bool{false, true} {
		want := "Commit: " + commit + "\n"
		if modified {
			want = "Commit: " + commit + " (modified)\n"
			if err := os.WriteFile(filepath.Join(dir, "changed"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		run("go", "build", "-o", program, ".")
		if out := run(program, "-version"); !strings.Contains(out, want) {
			t.Errorf("-version says %q, want %q", out, want)
		}
	}
}

// writeProgram writes a program of version.go alone, which is built fast.
func writeProgram(t *testing.T, dir string) {
	t.Helper()
	source, err := os.ReadFile("version.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod":     "module example.org/version\n\ngo 1.26.0\n",
		"version.go": strings.Replace(string(source), "package cli", "package main", 1),
		"main.go":    "package main\n\nimport \"os\"\n\nfunc main() { writeVersion(os.Stdout) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDescribeBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v9.9.9"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "today"}},
	}
	for _, c := range []struct {
		name   string
		linked build
		info   *debug.BuildInfo
		want   build
	}{
		{"linked", build{"v1", "c", "d"}, info, build{"v1", "c", "d"}},
		{"go install", build{}, info, build{"v9.9.9", "abc", "today"}},
		{"both", build{version: "v1"}, info, build{"v1", "abc", "today"}},
		{"nothing", build{}, nil, build{"unknown", "unknown", "unknown"}},
		{"go run", build{}, &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, build{"devel", "unknown", "unknown"}},
		{"go build of changed files", build{}, &debug.BuildInfo{
			Main:     debug.Module{Version: "v0.0.0-20261128212203-0123456789ab+dirty"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
		}, build{"v0.0.0-20261128212203-0123456789ab+dirty", "0123456789abcdef (modified)", "20261128212203"}},
		{"go install of a commit", build{}, &debug.BuildInfo{Main: debug.Module{Version: "v1.2.4-0.20261128212203-0123456789ab"}},
			build{"v1.2.4-0.20261128212203-0123456789ab", "0123456789ab", "20261128212203"}},
	} {
		if got := describeBuild(c.linked, c.info); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
