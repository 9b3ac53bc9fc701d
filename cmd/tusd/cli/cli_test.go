package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/logtest"
)

// run calls Run with an ended context: a server that starts stops at once.
func run(args ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs logtest.Buffer
	code = Run(ctx, args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	uploads := filepath.Join(dir, "uploads")

	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stderr string // a part of it; "": empty
	}{
		{"help", []string{"-help"}, 0, ""},
		{"short help", []string{"-h"}, 0, ""},
		{"version", []string{"-version"}, 0, ""},
		{"stopped", []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", uploads}, 0, ""},
		{"port is taken", []string{"-host", "127.0.0.1", "-port", port, "-upload-dir", uploads}, 1, "cannot listen"},
		{"no directory", []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", file}, 1, file},
		{"unknown flag", []string{"-frobnicate"}, 2, "-frobnicate"},
		{"flag of tusd v2", []string{"-gcs-bucket", "x"}, 2, "-gcs-bucket"},
		{"removed flag", []string{"-dir=x"}, 2, "-upload-dir"},
		{"bad value", []string{"-max-size", "many"}, 2, "-max-size"},
		{"leftover", []string{"-verbose", "x"}, 2, "argument 2"},
		{"no value", []string{"-host"}, 2, "-host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := run(c.args...)
			if code != c.code || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
				t.Errorf("exit code %d, want %d; stderr: %s", code, c.code, stderr)
			}
			if code == 2 && stdout != "" {
				t.Errorf("stdout: %s", stdout)
			}
		})
	}
}

func TestShutdownSaysWhy(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(os.ErrDeadlineExceeded)
	var stdout, stderr logtest.Buffer
	Run(ctx, []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir()}, nil, &stdout, &stderr)
	if !strings.Contains(stdout.String(), os.ErrDeadlineExceeded.Error()) {
		t.Errorf("the cause of the end is not in the log: %s", stdout.String())
	}
}
