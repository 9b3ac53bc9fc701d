//go:build unix

package lockertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
)

// The environment variables that make the test binary a child: a directory, and the kind
// of the locker to serve on it.
const (
	childDir    = "LOCKERTEST_CHILD_DIR"
	childLocker = "LOCKERTEST_CHILD_LOCKER"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := Serve(onDir(os.Getenv(childLocker), dir), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// onDir returns a locker of a kind.
func onDir(kind, dir string) tusd.Locker {
	if kind == "stale" {
		return &staleLocker{dir: dir}
	}
	return &flockLocker{dir: dir}
}

// processHarness returns the harness of a locker between processes.
func processHarness(kind string) Harness {
	var dir string // of the lockers in use
	return Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			dir = tb.TempDir()
			lockers := make([]tusd.Locker, n)
			for i := range lockers {
				lockers[i] = onDir(kind, dir)
			}
			return lockers
		},
		Scope: tusd.ScopeMachine,
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childDir+"="+dir, childLocker+"="+kind)
			cmd.Stderr = os.Stderr
			return cmd
		},
	}
}

func TestFlockLocker(t *testing.T) { Run(t, processHarness("flock")) }

// staleLocker locks by the existence of files, which remain after a killed holder.
type staleLocker struct {
	dir   string
	local tusd.LocalLocker
}

func (l *staleLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

func (l *staleLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	local, err := l.local.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(l.dir, id)
	for {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return staleLease{local, name}, file.Close()
		}
		if mode == tusd.LockTry {
			local.Unlock(ctx) // never fails
			return nil, tusd.ErrUploadLocked.With(err)
		}
		select {
		case <-time.After(flockPoll):
		case <-ctx.Done():
			local.Unlock(ctx)
			return nil, ended(ctx)
		}
	}
}

type staleLease struct {
	tusd.Lease
	name string
}

func (s staleLease) Unlock(ctx context.Context) error {
	os.Remove(s.name)
	return s.Lease.Unlock(ctx)
}

func TestProcessCasesFindStaleLocks(t *testing.T) {
	require.Long(t)
	h := processHarness("stale")
	h.Timeout = time.Second
	wantFound(t, h, "process/holder-killed")
	wantFound(t, h, "process/holder-killed-with-waiter")
	wantFound(t, h, "process/hand-over")
}

// TestProcessCasesFindLocalLocks tests lockers on one directory with processes on another
// one.
func TestProcessCasesFindLocalLocks(t *testing.T) {
	require.Long(t)
	h := processHarness("flock")
	h.Timeout = time.Second
	process := h.Process
	h.Process = func(tb testing.TB, lockers []tusd.Locker) *exec.Cmd {
		cmd := process(tb, lockers)
		cmd.Env = append(cmd.Env, childDir+"="+tb.TempDir())
		return cmd
	}
	for _, name := range []string{"process/exclusion", "process/hand-over", "process/wait", "process/holder-killed"} {
		wantFound(t, h, name)
	}
}
