//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tus/tusd/cmd/tusd-bench/bare"
	"github.com/tus/tusd/internal/require"
)

// TestMain runs this program as a built-in server if it is started as one, like the command.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || builtIn[os.Args[1]] == nil {
		code := m.Run()
		builder.remove()
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// builder builds the daemon once.
var builder daemonBuilder

type daemonBuilder struct {
	once sync.Once
	dir  string
	err  error
}

func (b *daemonBuilder) daemon(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "tusd-bench-test-"); b.err != nil {
			return
		}
		output, err := exec.Command("go", "build", "-o", b.dir, "github.com/tus/tusd/cmd/tusd").CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, "tusd")
}

func (b *daemonBuilder) remove() {
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// command runs the command in a temporary directory, and fails if files are left
// in it.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	code = Main(t.Context(), append([]string{"-dir", dir}, args...), &out, &errs)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v: %d files are left", args, len(left))
	}
	return code, out.String(), errs.String()
}

// runReport runs the command, and returns its report.
func runReport(t *testing.T, args ...string) Report {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"-json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// smallLoad are flags that make every workload small.
var smallLoad = []string{"-pairs", "2", "-clients", "4", "-requests", "40", "-size", "300K", "-chunk-size", "64K"}

const everyWorkload = "head,small,cwu,chunks,patch"

// TestServerAgainstBare runs every workload on the daemon and on both bare servers,
// and verifies in both ways.
func TestServerAgainstBare(t *testing.T) {
	require.Long(t)
	for name, args := range map[string][]string{
		"bare":      {"-bare", "-server-flags", "-durability none"},
		"bare-sync": {"-bare-sync", "-verify-get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := slices.Concat(args, smallLoad, []string{"-server", builder.daemon(t), "-work", everyWorkload})
			r := runReport(t, args...)
			if len(r.Rows) != 5*3 || len(r.Ratios) != 5*2 {
				t.Fatalf("%d rows and %d ratios, want 15 and 10", len(r.Rows), len(r.Ratios))
			}
			for i, row := range r.Rows {
				mustBeRow(t, row, []string{"server", name, name + "'"}[i%3])
			}
			for i, ratio := range r.Ratios {
				mustBeRatio(t, ratio, [2]string{[]string{"server", name + "'"}[i%2], name})
			}
		})
	}
}

func mustBeRow(t *testing.T, row Row, server string) {
	t.Helper()
	if row.Server != server || row.PerSecond <= 0 || row.P50 <= 0 || (row.MiBPerSec > 0) != (row.Workload != "head") {
		t.Errorf("%+v of %s", row, server)
	}
	if row.CPU == nil || row.CPU.PerOperation <= 0 || row.Memory == nil || row.Memory.After < 1<<20 || row.Memory.Peak < row.Memory.After {
		t.Errorf("%s: %+v, %+v", server, row.CPU, row.Memory)
	}
}

func mustBeRatio(t *testing.T, r Ratio, servers [2]string) {
	t.Helper()
	if r.Servers != servers || r.Pairs != 2 || r.CPU == nil || r.CPU.Low <= 0 || r.CPU.High < r.CPU.Median || r.CPU.Median < r.CPU.Low || r.Rate.Median <= 0 {
		t.Errorf("%+v, %+v of %v", r, r.CPU, servers)
	}
}

// TestTables tests the report as text.
func TestTables(t *testing.T) {
	code, stdout, stderr := command(t, append([]string{"-bare", "-work", "head,cwu"}, smallLoad...)...)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"CPU/operation", "bare'/bare", "medians of 2 pairs, each with an interval of 50.0 %", "cwu"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
}

// TestRunningServer tests a server that the command has not started: its process is
// unknown without -pid, and no upload is left.
func TestRunningServer(t *testing.T) {
	dir := t.TempDir()
	handler, err := bare.NewHandler(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	args := append([]string{"-url", server.URL + bare.BasePath, "-work", everyWorkload}, smallLoad...)
	for _, more := range [][]string{nil, {"-upload-dir", dir}, {"-pid", fmt.Sprint(os.Getpid())}} {
		r := runReport(t, slices.Concat(args, more)...)
		if len(r.Rows) != 5 || len(r.Ratios) != 0 {
			t.Fatalf("%d rows and %d ratios, want 5 and none", len(r.Rows), len(r.Ratios))
		}
		if known := slices.Contains(more, "-pid"); (r.Rows[0].CPU != nil) != known || (r.Rows[0].Memory != nil) != known {
			t.Errorf("%v: %+v", more, r.Rows[0])
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%v: %d files are left", more, len(left))
		}
	}
	if code, _, stderr := command(t, slices.Concat(args, []string{"-upload-dir", t.TempDir()})...); code != 1 || !strings.Contains(stderr, "no such file") {
		t.Errorf("exit code %d with another directory: %s", code, stderr)
	}
}

func TestSlowConnections(t *testing.T) {
	require.Long(t)
	t.Parallel()
	r := runReport(t, "-server", builder.daemon(t), "-bare", "-work", "slow", "-connections", "30", "-burst", "100K", "-slow-time", "1500ms")
	if len(r.Slow) != 2 || r.Slow[0].Server != "server" || r.Slow[1].Server != "bare" {
		t.Fatalf("%+v", r.Slow)
	}
	for _, row := range r.Slow {
		if row.Before < 1<<20 || row.Peak < row.After || row.PerConnection != (row.After-row.Before)/30 {
			t.Errorf("%+v", row)
		}
	}
}

// TestGrowth also shows that the daemon reads the prefilled uploads: the answer of
// each HEAD is compared.
func TestGrowth(t *testing.T) {
	require.Long(t)
	t.Parallel()
	r := runReport(t, append([]string{"-server", builder.daemon(t), "-prefill", "1000"}, smallLoad...)...)
	if len(r.Startups) != 3 || len(r.Rows) != 3*3 || len(r.Ratios) != 3*2 {
		t.Fatalf("%+v", r)
	}
	for i, n := range []int{1000, fewUploads, fewUploads} {
		if s := r.Startups[i]; s.Uploads != n || s.Median <= 0 || s.Worst < s.Median {
			t.Errorf("%+v, want %d uploads", s, n)
		}
	}
	for _, ratio := range r.Ratios {
		if ratio.Servers[1] != "100 uploads" {
			t.Errorf("%v", ratio.Servers)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, line := range []string{
		"", "-bare -bare-sync", "-url http://h/ -server x", "-server x -pid 1", "-server x -upload-dir d", "-bare extra",
		"-frobnicate", "-bare -pairs 0", "-bare -clients 0", "-bare -size 0", "-bare -size 4T", "-bare -size 9223372036854775807K",
		"-s3", "-url http://h/ -s3", "-server x -s3 -bare", "-server x -s3 -prefill 1000", "-server x -sdk",
		"-server x -s3 -s3-latency -1s", "-server x -s3 -s3-part-size 0", "-server x -s3 -s3-concurrent-part-uploads 0",
		"-bare -hooks 1ms", "-server x -hooks soon", "-server x -hooks -1s", "-server x -hooks hang -s3", "-server x -hooks hang -prefill 1000",
		"-bare -prefill 1000", "-server x -prefill 99", "-bare -connections 0", "-server x -prefill 1000 -clients 101",
	} {
		if code, _, stderr := command(t, strings.Fields(line)...); code != 2 || stderr == "" {
			t.Errorf("%s: exit code %d: %s", line, code, stderr)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct{ line, stderr string }{
		{"-server /bin/false", "ended while starting"},
		{"-server /nonexistent/tusd", "/nonexistent/tusd"},
		{"-bare -work frobnicate", "frobnicate"},
		{"-url https://127.0.0.1/files/", "plain HTTP"},
		{"-url http://127.0.0.1:1/files/ -work head", "refused"},
		{"-url http://127.0.0.1:1/files/ -work slow", "-pid"},
	} {
		code, _, stderr := command(t, strings.Fields(c.line)...)
		if code != 1 || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d: %s", c.line, code, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	if code, stdout, _ := command(t, "-help"); code != 0 || !strings.Contains(stdout, "-bare-sync") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

// TestFurtherFlags compares a daemon that sweeps with two that do not. The one that sweeps
// runs on after the others were measured.
func TestFurtherFlags(t *testing.T) {
	require.Long(t)
	args := append(slices.Clone(smallLoad), "-server", builder.daemon(t), "-prefill", "200", "-with", "-sweep-interval 1s -sweep-unfinished 1000h")
	r := runReport(t, args...)
	if len(r.Rows) != 2*3 || len(r.Ratios) != 2*2 {
		t.Fatalf("%d rows and %d ratios, want 6 and 4", len(r.Rows), len(r.Ratios))
	}
	for i, row := range r.Rows {
		mustBeRow(t, row, []string{"with", "without", "without'"}[i%3])
	}
	for i, ratio := range r.Ratios {
		mustBeRatio(t, ratio, [2]string{[]string{"with", "without'"}[i%2], "without"})
	}
}
