package limitedstore_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// removeOutside removes an upload as another process does.
func (b *bench) removeOutside(id string) {
	b.Helper()
	if err := b.leases[id].Unlock(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := b.memory.Terminate(b.Context(), b.lock(id), id); err != nil {
		b.Fatal(err)
	}
	if err := b.leases[id].Unlock(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// The uploads are counted every hour.
func TestHourlyCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100, nil)
		b.create(sized("a", 60))
		b.create(sized("b", 30))
		b.removeOutside("a")
		time.Sleep(50 * time.Minute)
		b.want(0, 90)
		time.Sleep(11 * time.Minute)
		b.want(0, 30)
	})
}

// A refused request lets the uploads be counted, but not every time.
func TestCountAfterRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counts atomic.Int64
		b := newBench(t, 100, func(s *limitedstore.LimitedStore) { limitedstore.OnCount(s, func() { counts.Add(1) }) })
		b.create(sized("a", 60))
		b.removeOutside("a")
		refuse := func() {
			for range 10 {
				_, err := b.tryCreate(sized("b", 60))
				b.wantError("a creation", err, tusd.ErrNoSpace)
				if err := b.leases["b"].Unlock(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
		}
		before := counts.Load()
		refuse()
		if counts.Load() != before {
			t.Errorf("%d counts right after the first one", counts.Load()-before)
		}
		time.Sleep(6 * time.Minute)
		_, err := b.tryCreate(sized("c", 60))
		b.wantError("a creation", err, tusd.ErrNoSpace)
		synctest.Wait()
		if counts.Load() != before+1 {
			t.Errorf("%d counts after a refusal", counts.Load()-before)
		}
		b.create(sized("d", 100))
	})
}

// Uploads that came or went while the store had no limit are counted soon after the next start.
func TestCountAfterUseWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100, nil)
		b.create(sized("a", 60))
		closeStore(t, b.limited)
		b.removeOutside("a")
		time.Sleep(2 * time.Hour)
		b.open(100, nil)
		b.want(0, 60)
		time.Sleep(time.Minute)
		b.want(0, 0)
	})
}

// sleepingLister needs a minute for a listing.
type sleepingLister struct{ tusd.Lister }

func (l sleepingLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	time.Sleep(time.Minute)
	return l.Lister.List(ctx, cursor, filter, limit)
}

// Until a large store is counted, a creation that may not fit is told to come back. Later, counts
// that take long are rare.
func TestSlowCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counts atomic.Int64
		slow := func(s *limitedstore.LimitedStore) {
			limitedstore.WrapLister(s, func(l tusd.Lister) tusd.Lister { return sleepingLister{l} })
			limitedstore.OnCount(s, func() { counts.Add(1) })
		}
		b := newBench(t, 1<<30, slow)
		_, err := b.tryCreate(sized("early", 1))
		b.wantError("nothing is known", err, tusd.ErrNoSpace)
		time.Sleep(2 * time.Minute)
		b.create(sized("a", 1<<20))
		limitedstore.Kill(b.limited)
		b.memory = b.memory.Reopen()
		b.open(1<<30, slow)
		b.create(sized("fits", 1<<29))
		_, err = b.tryCreate(sized("may-not-fit", 1<<29-1<<20))
		b.wantError("the bound is too high", err, tusd.ErrNoSpace)
		if u := b.limited.Usage(); u.Exact || u.Reserved <= 1<<29+1<<20 {
			t.Errorf("before the count, the sums are %+v", u)
		}
		time.Sleep(2 * time.Minute)
		b.want(0, 1<<29+1<<20)
		b.create(sized("does-fit", 1<<29-1<<20))
		before := counts.Load()
		time.Sleep(90 * time.Minute)
		if counts.Load() != before {
			t.Errorf("%d counts in 90 minutes, one takes a minute", counts.Load()-before)
		}
		time.Sleep(15 * time.Minute)
		if counts.Load() != before+1 {
			t.Errorf("%d counts after 105 minutes", counts.Load()-before)
		}
		time.Sleep(5 * time.Minute)
	})
}

// A count that fails is tried again, and the store stays careful meanwhile.
func TestFailedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := 3
		b := newBench(t, 100, func(s *limitedstore.LimitedStore) {
			limitedstore.WrapLister(s, func(l tusd.Lister) tusd.Lister { return &failingLister{l, &faults} })
		})
		_, err := b.tryCreate(sized("early", 1))
		b.wantError("nothing is known", err, tusd.ErrNoSpace)
		time.Sleep(time.Minute)
		b.create(sized("a", 100))
	})
}

type failingLister struct {
	tusd.Lister
	faults *int
}

func (l *failingLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	if *l.faults > 0 {
		*l.faults--
		return nil, "", errors.New("the service is not there")
	}
	return l.Lister.List(ctx, cursor, filter, limit)
}

// breakable is a store whose records can be broken.
type breakable struct {
	*storetest.Memory
	broken atomic.Bool
}

func (s *breakable) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.broken.Load() {
		return nil, tusd.ErrNotFound.With(tusd.ErrBroken)
	}
	return s.Memory.GetUpload(ctx, lease, id)
}

// The removal of a broken upload makes the sums wrong, so the uploads are counted soon.
func TestBrokenUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &breakable{Memory: storetest.NewMemory()}
		b := newBenchOn(t, store, store.Memory, 100)
		b.create(sized("a", 60))
		if err := b.leases["a"].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		limitedstore.Forget(b.limited)
		store.broken.Store(true)
		if err := b.composer.Terminater.Terminate(t.Context(), b.lock("a"), "a"); err != nil {
			t.Fatal(err)
		}
		b.want(0, 60)
		time.Sleep(11 * time.Second)
		b.want(0, 0)
	})
}

// addOutside adds an upload as another process does.
func (b *bench) addOutside(info tusd.FileInfo) {
	b.Helper()
	lease := b.lock(info.ID)
	if _, err := b.memory.NewUpload(b.Context(), lease, info); err != nil {
		b.Fatal(err)
	}
	if err := lease.Unlock(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// A count that finds more uploads than were known raises the bound, so that they also count after
// a crash.
func TestCountFindsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 10<<30, nil)
		b.create(sized("a", 1<<30))
		b.addOutside(sized("b", 8<<30))
		if _, err := limitedstore.Count(b.limited); err != nil {
			t.Fatal(err)
		}
		b.want(0, 9<<30)
		limitedstore.Kill(b.limited)
		b.memory = b.memory.Reopen()
		b.open(10<<30, func(s *limitedstore.LimitedStore) {
			limitedstore.WrapLister(s, func(l tusd.Lister) tusd.Lister { return sleepingLister{l} })
		})
		_, err := b.tryCreate(sized("c", 2<<30))
		b.wantError("more than the limit, before the count", err, tusd.ErrNoSpace)
		b.create(sized("d", 1<<20))
		time.Sleep(2 * time.Minute)
		b.want(0, 9<<30+1<<20)
	})
}

// If the higher bound cannot be stored, nothing is reserved above the old one.
func TestBoundOfCountIsNotStored(t *testing.T) {
	store := &failingRecords{Memory: storetest.NewMemory()}
	b := newBenchOn(t, store, store.Memory, 10<<30)
	b.addOutside(sized("b", 8<<30))
	store.fails.Store(true)
	if _, err := limitedstore.Count(b.limited); err == nil {
		t.Fatal("the bound is stored")
	}
	if _, err := b.tryCreate(sized("c", 1)); err == nil {
		t.Error("an upload above the stored bound is created")
	}
	store.fails.Store(false)
	b.create(sized("d", 1))
}

// unreadable is a store with an upload whose record cannot be read, and whose listing says so.
type unreadable struct {
	*storetest.Memory
	id     string
	failed atomic.Pointer[error] // of id; nil: it can be read
}

func (s *unreadable) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if err := s.failed.Load(); err != nil && id == s.id {
		return nil, *err
	}
	return s.Memory.GetUpload(ctx, lease, id)
}

func (s *unreadable) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	uploads, next, err := s.Memory.List(ctx, cursor, filter, limit)
	for i := range uploads {
		if uploads[i].ID == s.id && s.failed.Load() != nil {
			uploads[i].Record = nil
		}
	}
	return uploads, next, err
}

// An upload that cannot be read counts for what the listing shows, and the store becomes exact.
// If only the network fails, the count does, and is tried again, but ever more rarely.
func TestUnreadableUpload(t *testing.T) {
	for _, permanent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := storetest.NewMemory()
			first := newBenchOn(t, m, m, 100)
			first.write(first.create(sized("a", 60)), 20)
			first.create(sized("b", 30))
			limitedstore.Kill(first.limited)
			store := &unreadable{Memory: m, id: "a"}
			denied, network := os.ErrPermission, error(&net.OpError{Op: "dial", Err: errors.New("refused")})
			if store.failed.Store(&denied); !permanent {
				store.failed.Store(&network)
			}
			var counts atomic.Int64
			b := &bench{TB: t, memory: m, core: store, locker: &tusd.LocalLocker{}, leases: make(map[string]tusd.Lease)}
			b.open(100, func(s *limitedstore.LimitedStore) { limitedstore.OnCount(s, func() { counts.Add(1) }) })
			time.Sleep(time.Minute)
			if permanent {
				b.want(20, 50)
				return
			}
			if b.limited.Usage().Exact {
				t.Error("the sums are exact without an upload")
			}
			store.failed.Store(nil)
			time.Sleep(10 * time.Minute)
			b.want(20, 90)
			store.failed.Store(&network)
			time.Sleep(time.Hour)
			before := counts.Load()
			time.Sleep(time.Hour)
			if n := counts.Load() - before; n < 2 || n > 12 {
				t.Errorf("%d counts in an hour in which they fail", n)
			}
		})
	}
}
