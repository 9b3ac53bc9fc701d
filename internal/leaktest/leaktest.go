// Package leaktest finds goroutines that outlive the tests that started them.
package leaktest

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main runs the tests and returns the exit code for TestMain: 1 also if goroutines are
// left, whose stacks it prints.
func Main(m *testing.M) int {
	code := m.Run()
	if code == 0 && leaked(10*time.Second) {
		return 1
	}
	return code
}

// leaked waits until only the goroutines of the testing package are left.
func leaked(timeout time.Duration) bool {
	http.DefaultClient.CloseIdleConnections()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(timeout); ; {
		n := runtime.Stack(stacks, true)
		ours := goroutines(string(stacks[:n]))
		if len(ours) == 0 {
			return false
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "%d goroutines are left after all tests:\n\n%s\n", len(ours), strings.Join(ours, "\n\n"))
			return true
		}
		runtime.Gosched()
	}
}

// goroutines returns the stacks without this goroutine and without the one that the
// testing package starts for signals.
func goroutines(stacks string) (ours []string) {
	for _, stack := range strings.Split(strings.TrimSpace(stacks), "\n\n") {
		if !strings.Contains(stack, "leaktest.Main") && !strings.Contains(stack, "os/signal.") {
			ours = append(ours, stack)
		}
	}
	return ours
}
