//go:build linux

package faulttest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// NeedStrace skips or fails the test if strace does not run.
func NeedStrace(t testing.TB) {
	t.Helper()
	output, err := exec.Command("strace", "-f", "-o", "/dev/null", "true").CombinedOutput()
	require.Need(t, "strace", err == nil, fmt.Sprintf("strace does not run: %v %s", err, output))
}

// Strace returns a Launch.Tracer that writes to file. -D makes the daemon the child of the
// test, in place of strace; -y writes the file or socket of a descriptor.
func Strace(file string, args ...string) []string {
	return append([]string{"strace", "-D", "-f", "-y", "-s", "1024", "-o", file}, args...)
}

// Call is one system call in a trace.
type Call struct {
	Name   string
	Args   string // as strace writes them
	Result string // begins with the returned number
	// Began and Ended are lines of the trace. Two calls that overlap have no order.
	Began, Ended int
}

// OK reports whether the call has succeeded.
func (c *Call) OK() bool { return c.Result != "" && c.Result[0] != '-' && c.Result[0] != '?' }

var (
	wholeCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (.*)$`)
	begunCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumedCall = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)$`)
)

// ParseTrace parses the output of strace -f. The calls are in the order in which they
// began.
func ParseTrace(lines []string) []*Call {
	var calls []*Call
	running := make(map[string]*Call) // by thread
	for i, line := range lines {
		if m := begunCall.FindStringSubmatch(line); m != nil {
			running[m[1]] = &Call{Name: m[2], Args: m[3], Began: i, Ended: len(lines)}
			calls = append(calls, running[m[1]])
			continue
		}
		if m := resumedCall.FindStringSubmatch(line); m != nil && running[m[1]] != nil {
			call := running[m[1]]
			call.Args, call.Result, call.Ended = call.Args+m[3], m[4], i
			continue
		}
		if m := wholeCall.FindStringSubmatch(line); m != nil {
			calls = append(calls, &Call{Name: m[2], Args: m[3], Result: m[4], Began: i, Ended: i})
		}
	}
	return calls
}

// ReadTrace waits until strace has written the end of the trace, and reads it. The daemon
// must have ended.
func ReadTrace(file string) ([]string, error) {
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(10 * time.Millisecond) {
		lines, err := readLines(file)
		if err != nil {
			return nil, err
		}
		if n := len(lines); n > 0 && strings.Contains(lines[n-1], "+++") {
			return lines, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.New("the trace does not end")
		}
	}
}

func readLines(file string) (lines []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines, scanner.Err()
}
