package filelocker

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/lockertest"
)

// The environment variables that make the test binary a process of the suite:
// the directory to serve locks on, and the kind of slot table.
const (
	childDir  = "TUSD_FILELOCKER_TEST_DIR"
	childKind = "TUSD_FILELOCKER_TEST_KIND"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := lockertest.Serve(onDir(os.Getenv(childKind), dir), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kinds of lockers under test.
var kinds = map[string]func(*FileLocker){
	"default": func(*FileLocker) {},
	"files": func(l *FileLocker) {
		l.open = func(root *os.Root) (slotTable, error) { return openSlotFiles(root) }
	},
	"one byte": func(l *FileLocker) { l.hash = func(string) uint64 { return 7 } },
}

// onDir makes a locker of a kind with a short poll interval.
func onDir(kind, dir string) *FileLocker {
	l := New(dir)
	l.HolderPollInterval, l.AcquirerPollInterval = testInterval, testInterval
	kinds[kind](l)
	return l
}

const testInterval = 5 * time.Millisecond

// harness makes lockers of a kind, in this process and in others.
func harness(kind string) lockertest.Harness {
	var dir string // of the lockers in use
	return lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			dir = tb.TempDir()
			lockers := make([]tusd.Locker, n)
			for i := range lockers {
				l := onDir(kind, dir)
				tb.Cleanup(func() {
					if err := l.Close(); err != nil {
						tb.Errorf("close: %v", err)
					}
				})
				lockers[i] = l
			}
			return lockers
		},
		Scope:   tusd.ScopeMachine,
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd { return childOn(kind, dir) },
	}
}

func childOn(kind, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childKind+"="+kind)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestContract(t *testing.T) { lockertest.Run(t, harness("default")) }

// The implementation for systems without byte-range locks keeps the contract, too.
func TestContractWithFiles(t *testing.T) { lockertest.Run(t, harness("files")) }
