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

// TestCommands types README's commands, with another port and folder.
func TestCommands(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "curl", err == nil, tool+" is not on the PATH")
	}
	typed := blocks(t, "sh", 4) // start, upload, resume, and how to run the tests
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")

	daemon := exec.Command("bash", "-c", "exec "+strings.TrimSpace(typed[0])+` -host "$1" -port "$2" -upload-dir "$3"`,
		"bash", host, port, t.TempDir())
	daemon.Dir = checkout(t)
	start(t, daemon).listening(t, address)

	readme, err := os.ReadFile(filepath.Join(checkout(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if answer := shell(t, typed[1], address); !strings.Contains(answer, "201 Created") || !strings.Contains(answer, "Location: http://"+address+"/files/") {
		t.Errorf("the upload was answered with %q, want 201 and a Location", answer)
	}
	if content := shell(t, typed[2], address); content != string(readme) {
		t.Errorf("the upload that was resumed has %d bytes, want the %d of README.md", len(content), len(readme))
	}
}

// shell runs commands in the checkout, with address for README's, and returns
// what they print.
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
