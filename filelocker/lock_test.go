package filelocker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// testTimeout bounds every wait.
const testTimeout = 20 * time.Second

// lockers makes lockers of a kind on one directory. If there are several, each has joined.
func lockers(t *testing.T, kind string, n int) []*FileLocker {
	dir := t.TempDir()
	all := make([]*FileLocker, n)
	for i := range all {
		all[i] = onDir(kind, dir)
		t.Cleanup(func() { all[i].Close() })
		if n > 1 {
			wantUnlocked(t, mustLock(t, all[i], "to join", tusd.LockTry))
		}
	}
	return all
}

func contextWithTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

type grant struct {
	lease tusd.Lease
	err   error
}

// request calls Lock in the background.
func request(t *testing.T, l tusd.Locker, id string, mode tusd.LockMode) <-chan grant {
	c := make(chan grant, 1)
	ctx := contextWithTimeout(t)
	go func() {
		lease, err := l.Lock(ctx, id, mode)
		c <- grant{lease, err}
	}()
	return c
}

func granted(t *testing.T, who string, c <-chan grant) tusd.Lease {
	t.Helper()
	g := <-c
	if g.err != nil {
		t.Fatalf("%s: %v", who, g.err)
	}
	return g.lease
}

func wantUnlocked(t *testing.T, lease tusd.Lease) {
	t.Helper()
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatalf("unlock: %v", err)
	}
}

func wantRefused(t *testing.T, l tusd.Locker, id string) {
	t.Helper()
	lease, err := l.Lock(t.Context(), id, tusd.LockTry)
	if !errors.Is(err, tusd.ErrUploadLocked) {
		t.Fatalf("LockTry of %s: %v, %v, want %v", id, lease, err, tusd.ErrUploadLocked)
	}
}

func wantPreemptedSoon(t *testing.T, lease tusd.Lease) {
	t.Helper()
	select {
	case <-lease.Preempted():
	case <-time.After(testTimeout):
		t.Fatal("the holder was not preempted")
	}
}

// eventually polls until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.After(testTimeout); !condition(); {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("not in %v: %s", testTimeout, what)
		}
	}
}

// Ids that share a slot hold it together; the last lease frees it.
func TestTwoIDsOnOneSlot(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		ls := lockers(t, "one byte", 2)
		leases := []tusd.Lease{
			mustLock(t, ls[0], "a", tusd.LockTry), mustLock(t, ls[0], "b", tusd.LockTry), mustLock(t, ls[0], "c", tusd.LockTry),
		}
		wantRefused(t, ls[0], "a")
		for _, i := range order {
			wantRefused(t, ls[1], "a")
			wantRefused(t, ls[1], "d")
			wantUnlocked(t, leases[i])
			wantUnlocked(t, leases[i]) // a second Unlock must not count
		}
		wantUnlocked(t, mustLock(t, ls[1], "a", tusd.LockTry))
	}
}

// A request for one of the ids that share a slot preempts the holders of all.
func TestAllHoldersOfASlotArePreempted(t *testing.T) {
	ls := lockers(t, "one byte", 2)
	a, b := mustLock(t, ls[0], "a", tusd.LockTry), mustLock(t, ls[0], "b", tusd.LockTry)
	preempter := request(t, ls[1], "b", tusd.LockPreempt)
	wantPreemptedSoon(t, a)
	wantPreemptedSoon(t, b)
	wantUnlocked(t, b)
	wantUnlocked(t, a)
	wantUnlocked(t, granted(t, "the preempter", preempter))
}

// When one of two requests for a slot ends, the other one soon takes the request slot again.
func TestRequestOnOneSlotIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lockers(t, "one byte", 2)
		holder := mustLock(t, ls[0], "a", tusd.LockTry)
		remaining := request(t, ls[1], "b", tusd.LockPreempt)
		ctx, cancel := context.WithCancel(t.Context())
		go ls[1].Lock(ctx, "c", tusd.LockPreempt)
		synctest.Wait() // both wait
		cancel()
		synctest.Wait()
		if isTaken(t, ls[0], requestSlot.slot(7)) {
			t.Fatal("the request slot is still taken: this test proves nothing")
		}
		time.Sleep(2 * testInterval)
		if !isTaken(t, ls[0], requestSlot.slot(7)) {
			t.Error("the remaining request does not take the request slot again")
		}
		wantUnlocked(t, holder)
		wantUnlocked(t, granted(t, "the remaining request", remaining))
	})
}

// isTaken reports whether a locker sees that another one has taken a slot.
func isTaken(t *testing.T, l *FileLocker, slot int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	yes, err := isTakenByOther(l.dir.slots, slot)
	if err != nil {
		t.Error(err)
	}
	return yes
}

// The newest request is first, also if older ones wait in other processes. Older ones
// are refused at once.
func TestNewestRequestFirst(t *testing.T) {
	for _, kind := range []string{"default", "files"} {
		t.Run(kind, func(t *testing.T) {
			ls := lockers(t, kind, 4)
			holder := mustLock(t, ls[0], "a", tusd.LockPreempt)
			last := request(t, ls[1], "a", tusd.LockPreempt)
			wantPreemptedSoon(t, holder)
			for i := range 9 {
				newer := request(t, ls[1+(i+1)%3], "a", tusd.LockPreempt)
				if g := <-last; !errors.Is(g.err, tusd.ErrUploadLocked) {
					t.Fatalf("preempter %d was overtaken and gets %v, want %v", i, g.err, tusd.ErrUploadLocked)
				}
				last = newer
			}
			wantUnlocked(t, holder)
			wantUnlocked(t, granted(t, "the newest preempter", last))
		})
	}
}

// A request is withdrawn when it ends, so that a later holder is not preempted.
func TestWithdrawnRequest(t *testing.T) {
	ls := lockers(t, "default", 2)
	hash := hashID("a")
	ctx, cancel := context.WithCancel(t.Context())
	holder := mustLock(t, ls[0], "a", tusd.LockTry)
	result := make(chan error, 1)
	go func() {
		_, err := ls[1].Lock(ctx, "a", tusd.LockPreempt)
		result <- err
	}()
	wantPreemptedSoon(t, holder)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled preempter gets %v", err)
	}
	if isTaken(t, ls[0], requestSlot.slot(hash)) || isTaken(t, ls[0], newerRequestSlot.slot(hash)) {
		t.Error("the request slot of a cancelled request is still taken")
	}
	wantUnlocked(t, holder)
}

// LockWait does not take a free lock while another process waits in LockPreempt.
func TestPreemptionOfOtherProcessesBeforeWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lockers(t, "default", 3)
		ls[2].AcquirerPollInterval = time.Hour // so that the waiter tries first
		holder := mustLock(t, ls[0], "a", tusd.LockTry)
		preempter := request(t, ls[2], "a", tusd.LockPreempt)
		waiter := request(t, ls[1], "a", tusd.LockWait)
		synctest.Wait()
		wantUnlocked(t, holder)
		time.Sleep(10 * testInterval)
		wantPending(t, "the waiter, while a preempter waits,", waiter)
		ls[2].Close() // ends the preempter
		<-preempter
		wantUnlocked(t, granted(t, "the waiter", waiter))
	})
}

func wantPending(t *testing.T, who string, c <-chan grant) {
	t.Helper()
	select {
	case g := <-c:
		t.Fatalf("%s has an answer: %v", who, g.err)
	default:
	}
}

// A LockWait that waits for another process lets a LockPreempt of this process go first.
// It is still before later waiters.
func TestWaitersKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lockers(t, "default", 2)
		holder := mustLock(t, ls[0], "a", tusd.LockTry)
		first := request(t, ls[1], "a", tusd.LockWait)
		synctest.Wait()
		second := request(t, ls[1], "a", tusd.LockWait)
		synctest.Wait()
		preempter := request(t, ls[1], "a", tusd.LockPreempt)
		wantPreemptedSoon(t, holder)
		wantUnlocked(t, holder)
		wantUnlocked(t, granted(t, "the preempter", preempter))
		lease := granted(t, "the first", first)
		synctest.Wait()
		wantPending(t, "the second, before the first has unlocked,", second)
		wantUnlocked(t, lease)
		wantUnlocked(t, granted(t, "the second", second))
	})
}

// A missing directory is a transient error, and not a held lock.
func TestMissingDirectory(t *testing.T) {
	l := New(filepath.Join(t.TempDir(), "later"))
	defer l.Close()
	if _, err := l.Lock(t.Context(), "a", tusd.LockPreempt); !errors.Is(err, os.ErrNotExist) || errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("without the directory: %v", err)
	}
	if err := os.Mkdir(l.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	wantUnlocked(t, mustLock(t, l, "a", tusd.LockPreempt))
	if _, err := New("").Lock(t.Context(), "a", tusd.LockPreempt); err == nil {
		t.Error("an empty Path locks something")
	}
}

// Close refuses new locks and keeps those that are held.
func TestClose(t *testing.T) {
	ls := lockers(t, "default", 2)
	lease := mustLock(t, ls[0], "a", tusd.LockTry)
	waiter := request(t, ls[0], "a", tusd.LockPreempt)
	wantPreemptedSoon(t, lease)
	for range 2 {
		if err := ls[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ls[0].Lock(t.Context(), "b", tusd.LockTry); !errors.Is(err, errClosed) {
		t.Errorf("Lock after Close: %v", err)
	}
	wantRefused(t, ls[1], "a")
	wantUnlocked(t, lease)
	if g := <-waiter; !errors.Is(g.err, errClosed) {
		t.Errorf("a waiter of a closed locker gets %v", g.err)
	}
	wantUnlocked(t, mustLock(t, ls[1], "a", tusd.LockTry))
	if ls[0].dir != nil {
		t.Error("the directory is still open")
	}
}

// The watcher is one goroutine for all leases, and runs only while there are some.
func TestOneWatcher(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	watching := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.watching
	}
	for range 3 {
		lease := mustLock(t, l, "a", tusd.LockTry)
		if !watching() {
			t.Error("no watcher runs while a lock is held")
		}
		wantUnlocked(t, lease)
	}
	eventually(t, "the watcher ends", func() bool { return !watching() })
}
