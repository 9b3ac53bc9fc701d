package limitedstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// openOn opens a limited store on a store that several processes may use.
func openOn(tb testing.TB, m *storetest.Memory, locker tusd.Locker) (*limitedstore.LimitedStore, error) {
	composer := tusd.NewStoreComposer()
	m.UseIn(composer)
	s := limitedstore.New(100, composer)
	tb.Cleanup(func() { closeStore(tb, s) })
	return s, s.Open(tb.Context(), tusd.Env{Locker: locker})
}

func mustOpen(tb testing.TB, m *storetest.Memory, locker tusd.Locker) *limitedstore.LimitedStore {
	tb.Helper()
	s, err := openOn(tb, m, locker)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// wantHeld checks that an error names this process.
func wantHeld(t *testing.T, err error) {
	t.Helper()
	host, _ := os.Hostname()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d on %s", os.Getpid(), host)) {
		t.Errorf("a second store gets %v", err)
	}
}

// With a lock of the process, a second process sees the first one by its side record.
func TestSecondProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		first := mustOpen(t, m, &tusd.LocalLocker{})
		for range 3 {
			_, err := openOn(t, m, &tusd.LocalLocker{})
			wantHeld(t, err)
			time.Sleep(7 * time.Second) // of the fake clock
		}
		closeStore(t, first)
		began := time.Now()
		second := mustOpen(t, m, &tusd.LocalLocker{})
		if took := time.Since(began); took > 0 {
			t.Errorf("after a clean end of the first, the second waits %v", took)
		}
		limitedstore.Kill(second)
		began = time.Now()
		third := mustOpen(t, m, &tusd.LocalLocker{})
		if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("after a crash of the second, the third waits %v", took)
		}
		wantCreation(t, third, true)
		limitedstore.Kill(third)
	})
}

// wantCreation checks whether a store accepts an upload.
func wantCreation(t *testing.T, s *limitedstore.LimitedStore, accepted bool) {
	t.Helper()
	id := rand.Text()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), id, tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Unlock(context.Background())
	_, err = s.NewUpload(t.Context(), lease, sized(id, 10))
	if accepted && err != nil || !accepted && !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("a creation gets %v", err)
	}
}

// A process that another one has taken for dead accepts nothing more, and leaves the side
// records alone.
func TestStalledProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		first := mustOpen(t, m, &tusd.LocalLocker{})
		limitedstore.Stall(first)
		time.Sleep(21 * time.Second)
		wantCreation(t, first, false) // before the second one can be there
		second := mustOpen(t, m, &tusd.LocalLocker{})
		limitedstore.Renew(first)
		wantCreation(t, first, false)
		wantCreation(t, second, true)
		sums := tusd.SideRecordKey{Kind: "space", Name: "sums"}
		if err := m.PutSideRecord(t.Context(), sums, []byte(`{"AtMost":77}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := limitedstore.Count(first); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if text, err := m.GetSideRecord(t.Context(), sums); err != nil || string(text) != `{"AtMost":77}` {
			t.Errorf("the first process has written the sums %s, %v", text, err)
		}
		_, err := openOn(t, m, &tusd.LocalLocker{})
		wantHeld(t, err)
	})
}

// machineLocker is a locker that several processes share. Its leases can be lost.
type machineLocker struct {
	tusd.LocalLocker
	last        *losableLease
	unreachable bool
}

func (l *machineLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

func (l *machineLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	if l.unreachable {
		return nil, tusd.ErrLockServiceUnavailable
	}
	lease, err := l.LocalLocker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	l.last = &losableLease{Lease: lease}
	l.last.ctx, l.last.lose = context.WithCancelCause(lease.Context())
	return l.last, nil
}

type losableLease struct {
	tusd.Lease
	ctx  context.Context
	lose context.CancelCauseFunc
}

func (l *losableLease) Context() context.Context { return l.ctx }

// With a lock that processes share, the lock of one id belongs to the process that has the
// store open, and nothing is accepted any more when it is lost.
func TestSharedLock(t *testing.T) {
	m, locker := storetest.NewMemory(), &machineLocker{}
	first := mustOpen(t, m, locker)
	lease := locker.last
	_, err := openOn(t, m, locker)
	wantHeld(t, err)
	wantCreation(t, first, true)
	closeStore(t, first)
	second := mustOpen(t, m, locker)
	if locker.last == lease {
		t.Fatal("the second store has no lease")
	}
	locker.last.lose(tusd.ErrLockLost)
	wantCreation(t, second, false)
	limitedstore.Kill(second)
}

// A process that has lost the lock of the store, by an outage of the lock service, accepts uploads
// again when it has the lock again, unless another process has had the store meanwhile.
func TestLockOfTheStoreIsTakenAgain(t *testing.T) {
	m, locker := storetest.NewMemory(), &machineLocker{}
	first := mustOpen(t, m, locker)
	lost := locker.last
	lost.lose(tusd.ErrLockLost)
	locker.unreachable = true
	limitedstore.Renew(first)
	wantCreation(t, first, false)
	locker.unreachable = false
	limitedstore.Renew(first)
	wantCreation(t, first, true)
	if locker.last == lost {
		t.Fatal("the store has the lost lease")
	}

	lost = locker.last
	lost.lose(tusd.ErrLockLost)
	lost.Lease.Unlock(t.Context()) // the lease has expired
	second := mustOpen(t, m, locker)
	limitedstore.Renew(first)
	wantCreation(t, first, false)
	wantCreation(t, second, true)
	closeStore(t, second)
	limitedstore.Renew(first)
	limitedstore.Renew(first)
	wantCreation(t, first, false)
}

// Settings and stores that allow no limit are refused by name.
func TestOpenRefuses(t *testing.T) {
	for want, change := range map[string]func(*tusd.StoreComposer, *limitedstore.LimitedStore) *limitedstore.LimitedStore{
		"needs a Lister": func(c *tusd.StoreComposer, _ *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			c.Lister = nil
			return limitedstore.New(100, c)
		},
		"SideRecords": func(c *tusd.StoreComposer, _ *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			c.SideRecords = nil
			return limitedstore.New(100, c)
		},
		"must be positive": func(c *tusd.StoreComposer, _ *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			return limitedstore.New(0, c)
		},
		`no policy "none"`: func(_ *tusd.StoreComposer, s *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			s.Policy = "none"
			return s
		},
		"negative": func(_ *tusd.StoreComposer, s *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			s.OwnerQuota = -1
			return s
		},
		"policy unfinished needs": func(_ *tusd.StoreComposer, s *limitedstore.LimitedStore) *limitedstore.LimitedStore {
			s.Policy = limitedstore.PolicyUnfinished
			return s
		},
	} {
		composer := tusd.NewStoreComposer()
		storetest.NewMemory().UseIn(composer)
		s := change(composer, limitedstore.New(100, composer))
		if err := s.Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %s", err, want)
		}
	}
}

// A tool that only reads opens the store beside the process that serves it.
func TestReadOnly(t *testing.T) {
	m := storetest.NewMemory()
	mustOpen(t, m, &tusd.LocalLocker{})
	composer := tusd.NewStoreComposer()
	m.UseIn(composer)
	s := limitedstore.New(100, composer)
	if err := s.Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}, ReadOnly: true}); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
}

// Of two processes that start at the same time, one gets the store.
func TestStartAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core := &meetingRecords{Memory: storetest.NewMemory()}
		core.both.Add(2)
		stores, errs := make([]*limitedstore.LimitedStore, 2), make([]error, 2)
		var starting sync.WaitGroup
		for i := range stores {
			composer := tusd.NewStoreComposer()
			composer.UseCore(core)
			stores[i] = limitedstore.New(100, composer)
			limitedstore.SetSettle(stores[i], 2*time.Second)
			starting.Go(func() { errs[i] = stores[i].Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}}) })
		}
		starting.Wait()
		if errs[0] == nil {
			stores[0], stores[1], errs[0], errs[1] = stores[1], stores[0], errs[1], errs[0]
		}
		wantHeld(t, errs[0])
		closeStore(t, stores[0])
		if errs[1] != nil {
			t.Fatal(errs[1])
		}
		time.Sleep(time.Minute)
		wantCreation(t, stores[1], true)
		closeStore(t, stores[1])
	})
}

// meetingRecords is a store whose first two readers of the holder find none.
type meetingRecords struct {
	*storetest.Memory
	both  sync.WaitGroup
	reads atomic.Int32
}

func (s *meetingRecords) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	text, err := s.Memory.GetSideRecord(ctx, key)
	if key.Name == "holder" && s.reads.Add(1) <= 2 {
		s.both.Done()
		s.both.Wait()
	}
	return text, err
}

// A process that closes its store after another one has taken it for dead, and before it sees
// that, leaves the side records alone. The same if the other one has ended already.
func TestCloseOfStalledProcess(t *testing.T) {
	for _, ended := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := storetest.NewMemory()
			first := mustOpen(t, m, &tusd.LocalLocker{})
			limitedstore.Stall(first)
			second := mustOpen(t, m, &tusd.LocalLocker{})
			wantCreation(t, second, true)
			if ended {
				closeStore(t, second)
			}
			sums := tusd.SideRecordKey{Kind: "space", Name: "sums"}
			before, err := m.GetSideRecord(t.Context(), sums)
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, first)
			if after, err := m.GetSideRecord(t.Context(), sums); err != nil || string(after) != string(before) {
				t.Errorf("the first process has stored the sums %s, %v", after, err)
			}
			third, err := openOn(t, m, &tusd.LocalLocker{})
			if !ended {
				wantHeld(t, err)
			} else if err != nil || third.Usage().Reserved != 10 {
				t.Errorf("the next start: %+v, %v", third.Usage(), err)
			}
		})
	}
}

// If the sums cannot be stored in time, the store is closed all the same, and the next start
// does not wait for the former process.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core := &hangingSums{Memory: storetest.NewMemory()}
		b := newBenchOn(t, core, core.Memory, 100)
		core.hangs.Store(true)
		began := time.Now()
		if err := b.limited.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returns %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Close takes %v", took)
		}
		if _, err := core.GetSideRecord(t.Context(), tusd.SideRecordKey{Kind: "space", Name: "holder"}); !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("the side record of the holder: %v", err)
		}
	})
}

// hangingSums is a store that does not store the sums while hangs is set.
type hangingSums struct {
	*storetest.Memory
	hangs atomic.Bool
}

func (s *hangingSums) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if s.hangs.Load() && key.Name == "sums" {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Memory.PutSideRecord(ctx, key, value)
}
