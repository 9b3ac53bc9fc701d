//go:build unix

package readmetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// TestCommands runs the first commands of README, with another port and folder.
func TestCommands(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "curl", err == nil, tool+" is not on the PATH")
	}
	commands := blocks(t, "sh", 7) // start, upload, resume, keep house, serve, measure, and how to run the tests
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")

	dir := t.TempDir()
	daemon := exec.Command("bash", "-c", "exec "+strings.TrimSpace(commands[0])+` -host "$1" -port "$2" -upload-dir "$3"`,
		"bash", host, port, dir)
	daemon.Dir = checkout(t)
	start(t, daemon).listening(t, address)

	readme, err := os.ReadFile(filepath.Join(checkout(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if answer := shell(t, commands[1], address); !strings.Contains(answer, "201 Created") || !strings.Contains(answer, "Location: http://"+address+"/files/") {
		t.Errorf("the upload was answered with %q, want 201 and a Location", answer)
	}
	if content := shell(t, commands[2], address); content != string(readme) {
		t.Errorf("the upload that was resumed has %d bytes, want the %d of README.md", len(content), len(readme))
	}
	house := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands[3])
	house.Dir, house.Env = checkout(t), append(os.Environ(), "TUSD_UPLOAD_DIR="+dir)
	printed, err := house.Output()
	if err != nil || strings.Count(string(printed), "\ncomplete ") != 2 || !strings.Contains(string(printed), "\nwould remove 0 uploads") {
		t.Errorf("%s: %v\n%s", commands[3], err, printed)
	}
}

// TestServiceCommands runs README's commands for a service, in an empty folder.
func TestServiceCommands(t *testing.T) {
	needBash(t)
	command := blocks(t, "sh", 7)[4]
	binary := filepath.Join(t.TempDir(), "tusd")
	compile(t, binary, "./cmd/tusd")
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	command = replace(t, command, "go run cmd/tusd/main.go", "exec "+binary+" -host "+host)
	command = replace(t, command, "-port 8081", "-port "+port)
	daemon := exec.Command("bash", "-euo", "pipefail", "-c", command)
	daemon.Dir = t.TempDir()
	start(t, daemon).listening(t, address)
	if _, err := os.Stat(filepath.Join(daemon.Dir, "uploads")); err != nil {
		t.Errorf("the config file is not followed: %v", err)
	}
}

// TestBenchCommands runs README's commands of tusd-bench.
func TestBenchCommands(t *testing.T) {
	needBash(t)
	command := blocks(t, "sh", 7)[5]
	dir := t.TempDir()
	command = replace(t, command, "go build -o .", "go -C "+checkout(t)+" build -o "+dir)
	script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
	script.Dir = dir
	output, err := script.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "server/bare") {
		t.Errorf("%s: %v\n%s", command, err, output)
	}
}

func needBash(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("bash")
	require.Need(t, "curl", err == nil, "bash is not on the PATH")
}

// compile builds a command of the module into binary.
func compile(t *testing.T, binary, pkg string) {
	t.Helper()
	command := exec.Command("go", "build", "-o", binary, pkg)
	command.Dir = checkout(t)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, output)
	}
}

// replace replaces a part of a command, which must be there.
func replace(t *testing.T, command, old, replacement string) string {
	t.Helper()
	if !strings.Contains(command, old) {
		t.Fatalf("%q lacks %q", command, old)
	}
	return strings.ReplaceAll(command, old, replacement)
}

// shell runs commands in the checkout and returns their output. address replaces the
// address in README.
func shell(t *testing.T, commands, address string) string {
	t.Helper()
	if !strings.Contains(commands, "localhost:8080") {
		t.Fatalf("%q does not use localhost:8080", commands)
	}
	script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(commands, "localhost:8080", address))
	script.Dir = checkout(t)
	output, err := script.Output()
	if err != nil {
		t.Fatalf("%s: %v", commands, err)
	}
	return string(output)
}
