//go:build linux

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// documentedBlock returns the code block of docs/systemd.md that contains a text.
func documentedBlock(t *testing.T, marked string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(block[1], marked) {
			return block[1]
		}
	}
	t.Fatalf("docs/systemd.md has no block with %q", marked)
	return ""
}

// directives returns the directives of a unit by name.
func directives(unit string) map[string]string {
	found := make(map[string]string)
	for line := range strings.Lines(unit) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			found[name] = value
		}
	}
	return found
}

// The unit waits for the mount and the network, restarts with a delay and without a
// limit, and its timeouts are longer than those of the server.
func TestUnitDoc(t *testing.T) {
	unit := directives(documentedBlock(t, "tusd.service"))
	args := strings.Fields(unit["ExecStart"])[1:]
	file := filepath.Join(t.TempDir(), "conf")
	writeFile(t, file, documentedBlock(t, "max-size"))
	for i, arg := range args {
		if arg == "/etc/tusd.conf" {
			args[i] = file
		}
	}
	cfg, err := readConfig(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	if unit["RequiresMountsFor"] != cfg.files().uploadDir {
		t.Errorf("the unit waits for the mount of %q, but uploads are in %s", unit["RequiresMountsFor"], cfg.files().uploadDir)
	}
	for _, name := range []string{"Wants", "After"} {
		if !strings.Contains(unit[name], "network-online.target") {
			t.Errorf("%s=%s", name, unit[name])
		}
	}
	for name, least := range map[string]float64{
		"RestartSec":      2.5, // systemd gives up after five starts in ten seconds
		"TimeoutStartSec": cfg.s3().startTimeout.Seconds() + 30,
		"TimeoutStopSec":  cfg.timeouts.shutdown.Seconds() + 1,
	} {
		d, err := parseDuration(unit[name])
		if err != nil || d.Seconds() < least {
			t.Errorf("%s=%s, want %v s at least", name, unit[name], least)
		}
	}
	if !within("127.0.0.1", cfg) {
		t.Error("a proxy on the same machine is not trusted")
	}
}

// within reports whether -trusted-proxies names an address.
func within(address string, cfg config) bool {
	for _, network := range cfg.listening.trustedProxies {
		if network.Addr().String() == address {
			return true
		}
	}
	return false
}

// systemd-analyze accepts the documented units.
func TestUnitsAreValid(t *testing.T) {
	_, err := exec.LookPath("systemd-analyze")
	require.Need(t, "systemd-analyze", err == nil, "systemd-analyze is not on the PATH")
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tusd.service", "tusd.socket"} {
		writeFile(t, filepath.Join(dir, name), strings.ReplaceAll(documentedBlock(t, "/etc/systemd/system/"+name), "/usr/local/bin/tusd", self))
	}
	output, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "tusd.service"), filepath.Join(dir, "tusd.socket")).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "tusd.") {
			t.Errorf("systemd: %s", line)
		}
	}
	if err != nil && t.Failed() {
		t.Log(err)
	}
}
