//go:build unix

package readmetest

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// defaults are README's statements about the defaults. change is the first flag that
// README names to change one; with that flag the statement must be false.
var defaults = []struct {
	statement, change string
	isTrue            func(t *testing.T, address, printed string) bool
}{
	{"there is no login", "", func(t *testing.T, address, _ string) bool {
		return create(t, "http://"+address+"/files/", 1) != ""
	}},
	{"listens at every address", "-host 127.0.0.1", func(_ *testing.T, _, printed string) bool {
		return strings.Contains(printed, "Every address of this machine takes connections")
	}},
	{"nothing is encrypted", "", func(_ *testing.T, _, printed string) bool {
		return strings.Contains(printed, "You can now upload files to: http://")
	}},
	{"as large as the disk", "-max-size 10G", func(t *testing.T, address, _ string) bool {
		answer := send(t, http.MethodOptions, "http://"+address+"/files/", nil, nil)
		return answer != nil && answer.StatusCode == http.StatusOK && answer.Header.Get("Tus-Max-Size") == ""
	}},
	{"can download", "-disable-download", func(t *testing.T, address, _ string) bool {
		upload := create(t, "http://"+address+"/files/", 1)
		if status := patch(t, upload, "x"); status != http.StatusNoContent {
			t.Errorf("PATCH: %d", status)
		}
		answer, err := http.Get(upload)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		return err == nil && answer.StatusCode == http.StatusOK && string(content) == "x"
	}},
	{"can delete", "-disable-termination", func(t *testing.T, address, _ string) bool {
		answer := send(t, http.MethodDelete, create(t, "http://"+address+"/files/", 1), nil, nil)
		return answer != nil && answer.StatusCode == http.StatusNoContent
	}},
	{"none expires", "", func(t *testing.T, address, _ string) bool {
		answer := send(t, http.MethodOptions, "http://"+address+"/files/", nil, nil)
		return answer != nil && !strings.Contains(answer.Header.Get("Tus-Extension"), "expiration")
	}},
	{"every web site", "-cors-origins https://example.org", func(t *testing.T, address, _ string) bool {
		answer := send(t, http.MethodPost, "http://"+address+"/files/", nil, map[string]string{"Origin": "https://elsewhere.example", "Upload-Length": "1"})
		return answer != nil && answer.StatusCode == http.StatusCreated && answer.Header.Get("Access-Control-Allow-Origin") == "https://elsewhere.example"
	}},
	{"read the metrics", "-admin-listen 127.0.0.1:9090", func(t *testing.T, address, _ string) bool {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}},
}

// TestDefaults checks each row of README's table, without flags and with the flag that
// changes the default.
func TestDefaults(t *testing.T) {
	rows := rowsOf(t, "By default")
	if len(rows) != len(defaults) {
		t.Errorf("README has %d statements about defaults, and %d are checked", len(rows), len(defaults))
	}
	binary := filepath.Join(t.TempDir(), "tusd")
	compile(t, binary, "./cmd/tusd")
	preset, printed := serve(t, binary)
	for _, d := range defaults {
		t.Run(d.statement, func(t *testing.T) {
			change := ""
			for statement, cell := range rows {
				if strings.Contains(statement, d.statement) {
					change = cell
				}
			}
			if change == "" {
				t.Fatal("README has no such statement")
			}
			if !d.isTrue(t, preset, printed) {
				t.Error("the statement is false")
			}
			if d.change == "" {
				return
			}
			if !strings.HasPrefix(change, "`"+d.change+"`") {
				t.Fatalf("README says %s, want %s first", change, d.change)
			}
			flags := strings.Fields(strings.Replace(d.change, ":9090", ":0", 1))
			if address, printed := serve(t, binary, flags...); d.isTrue(t, address, printed) {
				t.Errorf("with %s the statement is still true", d.change)
			}
		})
	}
}

// TestFlagsOfDefaults checks that the flags in README's table exist.
func TestFlagsOfDefaults(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "tusd")
	compile(t, binary, "./cmd/tusd")
	help, err := exec.CommandContext(t.Context(), binary, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range rowsOf(t, "By default") {
		for _, flag := range regexp.MustCompile("`(-[a-z0-9-]+)").FindAllStringSubmatch(cell, -1) {
			if !regexp.MustCompile(`(?m)^  ` + flag[1] + `( |$)`).Match(help) {
				t.Errorf("README names %s, which is no flag", flag[1])
			}
		}
	}
}

// rowsOf returns README's table with that heading: the second cell of each row by the
// first.
func rowsOf(t *testing.T, heading string) map[string]string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(checkout(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "\n| "+heading+" | ")
	if !found {
		t.Fatalf("README has no table of %q", heading)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|\n]+) \| ([^|\n]+) \|$`).FindAllStringSubmatch(table, -1) {
		rows[row[1]] = row[2]
	}
	return rows
}

// serve starts the daemon with flags, a free port and a folder. It returns the address
// and the output of the daemon.
func serve(t *testing.T, binary string, flags ...string) (address, printed string) {
	t.Helper()
	address = freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	log := filepath.Join(t.TempDir(), "log")
	daemon := exec.Command("/bin/sh", append([]string{"-c", `log=$1; shift; exec "$@" >"$log" 2>&1`, "sh", log, binary, "-port", port, "-upload-dir", t.TempDir()}, flags...)...)
	start(t, daemon).listening(t, address)
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return address, string(content)
}
