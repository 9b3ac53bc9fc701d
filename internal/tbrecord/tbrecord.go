// Package tbrecord runs a part of a test and reports whether it failed, without failing
// the test around it. With it, tests prove that the conformance suites find broken
// stores and lockers.
package tbrecord

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Run calls f with a testing.TB that only records failures, and returns its records. f
// runs in its own goroutine, so that FailNow ends f alone. Functions that f registers
// with Cleanup run at the end of tb.
func Run(tb testing.TB, f func(testing.TB)) (failed bool, log string) {
	r := &recorder{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.Failed(), r.text()
}

// recorder replaces the methods of testing.TB that fail or print.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
	log    bytes.Buffer
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.log, format+"\n", args...)
}

func (r *recorder) Log(args ...any) { r.Logf("%s", fmt.Sprintln(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.Fail()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprintln(args...)) }
func (r *recorder) FailNow()          { r.Fail(); runtime.Goexit() }

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}
