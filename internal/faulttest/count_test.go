//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
)

// countedCalls are the system calls that may be on a file.
const countedCalls = "trace=%file,%desc"

// expectedCalls are the system calls of one request on the upload directory and its files,
// in order, without those of the locker. Only POST writes the record, and no request reads
// it: it is cached. pwrite64 stands for any number of them in a row: it is one for each
// packet of the body. A change that adds a call changes this table.
var expectedCalls = map[string]map[string]string{
	"none": {
		"POST":   "fstatfs openat close openat write fstat close",
		"HEAD":   "newfstatat newfstatat",
		"PATCH":  "newfstatat newfstatat openat pwrite64 close",
		"DELETE": "newfstatat newfstatat newfstatat unlinkat newfstatat newfstatat newfstatat unlinkat",
	},
	"ack": {
		"POST":   "fstatfs openat close openat write fdatasync fstat close fsync",
		"HEAD":   "newfstatat newfstatat",
		"PATCH":  "newfstatat newfstatat openat pwrite64 fdatasync close",
		"DELETE": "newfstatat newfstatat newfstatat unlinkat newfstatat newfstatat newfstatat unlinkat fsync",
	},
}

// TestSystemCallsPerRequest compares the system calls of each request with expectedCalls.
func TestSystemCallsPerRequest(t *testing.T) {
	NeedStrace(t)
	for level, want := range expectedCalls {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			got := traceRequests(t, level)
			for method, calls := range want {
				if got[method] != calls {
					t.Errorf("%s makes the calls\n%s\nwant\n%s", method, got[method], calls)
				}
			}
		})
	}
}

// traceRequests returns the calls of a request of each method, on a daemon that has served
// one before.
func traceRequests(t *testing.T, level string) map[string]string {
	trace := filepath.Join(t.TempDir(), "trace")
	launch := Launch{
		Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{"-durability", level},
		Tracer: Strace(trace, "-e", countedCalls),
	}
	daemon := Start(t, launch)
	for range 2 {
		if err := createPatchHeadDelete(daemon.Client()); err != nil {
			t.Fatal(err)
		}
	}
	if err := daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	return callsByMethod(ParseTrace(lines), launch.Dir)
}

// createPatchHeadDelete makes an upload of 4 KiB, requests its offset and terminates it.
func createPatchHeadDelete(client *tusclient.Client) error {
	created, err := client.Create(4096)
	if err != nil {
		return err
	}
	path := created.Path()
	for _, step := range []struct {
		do     func() (tusclient.Answer, error)
		status int
	}{
		{func() (tusclient.Answer, error) { return client.Patch(path, 0, make([]byte, 4096)) }, http.StatusNoContent},
		{func() (tusclient.Answer, error) { return client.Head(path) }, http.StatusOK},
		{func() (tusclient.Answer, error) { return client.Delete(path) }, http.StatusNoContent},
	} {
		answer, err := step.do()
		if err != nil {
			return err
		}
		if err := answer.Want("a request", step.status); err != nil {
			return err
		}
	}
	return nil
}

// callsByMethod returns the calls on files of dir between the last request of each method
// and its answer.
func callsByMethod(calls []*Call, dir string) map[string]string {
	byMethod := make(map[string][]string)
	method := ""
	for _, call := range calls {
		switch {
		case field(socketName, call.Args) != "" && call.Name == "read":
			if m := requestLine.FindStringSubmatch(call.Args); m != nil {
				method = m[1]
				byMethod[method] = nil
			}
		case field(socketName, call.Args) != "" && call.Name == "write":
			method = ""
		case method != "" && strings.Contains(call.Args, "<"+dir) && !strings.Contains(call.Args, ".tusd.locks"):
			byMethod[method] = append(byMethod[method], call.Name)
		}
	}
	names := make(map[string]string)
	for method, calls := range byMethod {
		names[method] = strings.Join(mergeWrites(calls), " ")
	}
	return names
}

// mergeWrites merges pwrite64 calls in a row.
func mergeWrites(calls []string) []string {
	return slices.CompactFunc(calls, func(a, b string) bool { return a == "pwrite64" && b == a })
}

// TestStartReadsNoUploads compares the system calls of a start with few uploads and with
// many.
func TestStartReadsNoUploads(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	few, many := callsOfStart(t, 10), callsOfStart(t, 5000)
	if few == 0 || many > few+20 { // the runtime makes some now and then
		t.Errorf("a start makes %d system calls on a directory with 5000 uploads, %d with 10", many, few)
	}
}

// callsOfStart counts the calls on a directory with n uploads when a daemon starts, serves a
// request and stops.
func callsOfStart(t *testing.T, n int) (count int) {
	dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	for i := range n {
		id := strconv.Itoa(i)
		record := fmt.Sprintf(`{"ID":%q,"Size":10,"Storage":{"Type":"filestore","Path":%q}}`, id, filepath.Join(dir, id))
		for name, content := range map[string]string{id: "hello", id + ".info": record} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: dir, Tracer: Strace(trace, "-e", countedCalls)})
	answer, err := daemon.Client().Head("/files/0")
	if err == nil {
		err = answer.Want("HEAD", http.StatusOK)
	}
	if err := daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range ParseTrace(lines) {
		if strings.Contains(call.Args, dir) {
			count++
		}
	}
	return count
}
