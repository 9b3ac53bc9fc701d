package limitedstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// bench is an open limited store on a Memory, and what a handler does with it.
type bench struct {
	testing.TB
	memory   *storetest.Memory
	core     tusd.DataStore // the wrapped store; nil: memory
	limited  *limitedstore.LimitedStore
	composer *tusd.StoreComposer
	locker   tusd.Locker
	evict    func(context.Context, string, func(tusd.FileInfo) bool) error // of Env
	leases   map[string]tusd.Lease                                         // of create
	largest  int64                                                         // of Env.LimitSize
}

func newBench(tb testing.TB, limit int64, change func(*limitedstore.LimitedStore)) *bench {
	tb.Helper()
	b := &bench{TB: tb, memory: storetest.NewMemory(), locker: &tusd.LocalLocker{}, leases: make(map[string]tusd.Lease)}
	b.open(limit, change)
	return b
}

// newBenchOn is newBench for a store that embeds the memory.
func newBenchOn(tb testing.TB, core tusd.DataStore, m *storetest.Memory, limit int64) *bench {
	tb.Helper()
	b := &bench{TB: tb, memory: m, core: core, locker: &tusd.LocalLocker{}, leases: make(map[string]tusd.Lease)}
	b.open(limit, nil)
	return b
}

// open opens a limited store on the memory.
func (b *bench) open(limit int64, change func(*limitedstore.LimitedStore)) {
	b.Helper()
	b.composer = tusd.NewStoreComposer()
	b.memory.UseIn(b.composer)
	if b.core != nil {
		b.composer.UseCore(b.core)
	}
	b.limited = limitedstore.New(limit, b.composer)
	if change != nil {
		change(b.limited)
	}
	b.limited.UseIn(b.composer)
	limited := b.limited
	b.Cleanup(func() { closeStore(b, limited) })
	err := b.limited.Open(b.Context(), tusd.Env{Locker: b.locker, LimitSize: func(n int64) { b.largest = n }, Evict: b.evict})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) lock(id string) tusd.Lease {
	b.Helper()
	lease, err := b.locker.Lock(b.Context(), id, tusd.LockWait)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { lease.Unlock(context.Background()) })
	b.leases[id] = lease
	return lease
}

func (b *bench) tryCreate(info tusd.FileInfo) (tusd.Upload, error) {
	b.Helper()
	return b.limited.NewUpload(b.Context(), b.lock(info.ID), info)
}

func (b *bench) create(info tusd.FileInfo) tusd.Upload {
	b.Helper()
	u, err := b.tryCreate(info)
	if err != nil {
		b.Fatalf("create %s: %v", info.ID, err)
	}
	return u
}

func (b *bench) write(u tusd.Upload, n int) {
	b.Helper()
	info, err := u.GetInfo(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if stored, err := u.WriteChunk(b.Context(), info.Offset, bytes.NewReader(make([]byte, n))); err != nil || stored != int64(n) {
		b.Fatalf("write %d bytes of %s: %d are stored, %v", n, info.ID, stored, err)
	}
}

func (b *bench) want(stored, reserved int64) {
	b.Helper()
	u := b.limited.Usage()
	if u.Stored != stored || u.Reserved != reserved || !u.Exact {
		b.Errorf("the sums are %+v, want %d stored and %d reserved", u, stored, reserved)
	}
}

// wantError checks that err matches target, and that the client is told to try again later.
func (b *bench) wantError(what string, err error, target *tusd.Error) {
	b.Helper()
	var e *tusd.Error
	if !errors.As(err, &e) || !errors.Is(err, target) {
		b.Errorf("%s: %v, want %v", what, err, target)
	} else if target.Transient && e.RetryAfter < time.Second {
		b.Errorf("%s: the client should try again after %v", what, e.RetryAfter)
	}
}

func sized(id string, size int64) tusd.FileInfo {
	return tusd.FileInfo{ID: id, Size: size, Version: tusd.RecordVersion}
}

func deferred(id string) tusd.FileInfo {
	return tusd.FileInfo{ID: id, SizeIsDeferred: true, Version: tusd.RecordVersion}
}

func owned(info tusd.FileInfo, owner string) tusd.FileInfo {
	info.Owner = owner
	return info
}

// The declared length counts at once, to the last byte, and is free again after the removal.
func TestDeclaredLengthIsReserved(t *testing.T) {
	b := newBench(t, 100, nil)
	a := b.create(sized("a", 60))
	b.want(0, 60)
	_, err := b.tryCreate(sized("b", 41))
	b.wantError("one byte too much", err, tusd.ErrNoSpace)
	if !errors.Is(err, tusd.ErrAnnouncedOnly) {
		t.Errorf("the error does not say that the store has space: %v", err)
	}
	if _, err := b.memory.GetUpload(t.Context(), nil, "b"); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("the refused upload exists: %v", err)
	}
	b.create(sized("c", 40))
	b.want(0, 100)
	_, err = b.tryCreate(sized("d", 1))
	b.wantError("a full store", err, tusd.ErrNoSpace)
	if errors.Is(err, tusd.ErrAnnouncedOnly) {
		t.Errorf("the error does not say that the store is full: %v", err)
	}
	b.create(sized("empty", 0))
	b.write(a, 20)
	b.want(20, 100)
	if err := b.composer.Terminater.Terminate(t.Context(), b.leases["a"], "a"); err != nil {
		t.Fatal(err)
	}
	b.want(0, 40)
}

// A length that never fits is 413, and the handler knows it before.
func TestNeverFits(t *testing.T) {
	b := newBench(t, 100, func(s *limitedstore.LimitedStore) { s.OwnerMaxUpload, s.OwnerQuota = 30, 50 })
	if b.largest != 100 {
		t.Errorf("the handler is told a limit of %d", b.largest)
	}
	_, err := b.tryCreate(sized("a", 101))
	b.wantError("more than the store", err, tusd.ErrMaxSizeExceeded)
	_, err = b.tryCreate(owned(sized("b", 31), "alice"))
	b.wantError("more than an upload of an owner", err, tusd.ErrMaxSizeExceeded)
	u := b.create(owned(deferred("c"), "alice"))
	b.wantError("declared", b.composer.LengthDeferrer.DeclareLength(t.Context(), u, 31), tusd.ErrMaxSizeExceeded)
	n, err := u.WriteChunk(t.Context(), 0, strings.NewReader(strings.Repeat("x", 31)))
	b.wantError("written", err, tusd.ErrMaxSizeExceeded)
	if n != 30 {
		t.Errorf("%d bytes are stored, want 30", n)
	}
	b.want(30, 30)
}

// An upload of deferred length takes bytes until nothing is left. What fits is kept.
func TestGrowthEndsAtTheLimit(t *testing.T) {
	b := newBench(t, 100, nil)
	b.create(sized("a", 60))
	u := b.create(deferred("b"))
	b.write(u, 10)
	b.want(10, 70)
	n, err := u.WriteChunk(t.Context(), 10, io.MultiReader(strings.NewReader(strings.Repeat("x", 29)), strings.NewReader("yz")))
	b.wantError("growth", err, tusd.ErrNoSpace)
	info, _ := u.GetInfo(t.Context())
	if n != 30 || info.Offset != 40 {
		t.Errorf("%d bytes are stored, the offset is %d; want 30 and 40", n, info.Offset)
	}
	b.want(40, 100)
	if n, err := u.WriteChunk(t.Context(), 40, strings.NewReader("")); n != 0 || err != nil {
		t.Errorf("an empty chunk in a full store: %d, %v", n, err)
	}
	b.wantError("declared", b.composer.LengthDeferrer.DeclareLength(t.Context(), u, 41), tusd.ErrNoSpace)
	if err := b.composer.LengthDeferrer.DeclareLength(t.Context(), u, 40); err != nil {
		t.Errorf("declare what is stored: %v", err)
	}
	b.want(40, 100)
}

// A declared length is reserved, and no longer if it is deferred again.
func TestDeclareLength(t *testing.T) {
	b := newBench(t, 100, nil)
	u, declare := b.create(deferred("a")), b.composer.LengthDeferrer.DeclareLength
	b.write(u, 10)
	if err := declare(t.Context(), u, 90); err != nil {
		t.Fatal(err)
	}
	b.want(10, 90)
	if err := declare(t.Context(), u, -1); err != nil {
		t.Fatal(err)
	}
	b.want(10, 10)
}

// A length that a client of the IETF draft announces counts as well, at the creation and later.
func TestAnnouncedLength(t *testing.T) {
	b := newBench(t, 100, nil)
	announce := func(n int64) func(*tusd.FileInfo) error {
		return func(info *tusd.FileInfo) error { info.KnownLength = &n; return nil }
	}
	info, known := deferred("a"), int64(60)
	info.KnownLength = &known
	u := b.create(info)
	b.want(0, 60)
	b.write(u, 60)
	b.want(60, 60)
	later := b.create(deferred("b"))
	b.wantError("announced", later.UpdateInfo(t.Context(), announce(41)), tusd.ErrNoSpace)
	b.wantError("announced", later.UpdateInfo(t.Context(), announce(101)), tusd.ErrMaxSizeExceeded)
	b.want(60, 60)
	if err := later.UpdateInfo(t.Context(), announce(40)); err != nil {
		t.Fatal(err)
	}
	b.want(60, 100)
}

// A failed upload counts only for its bytes.
func TestFailedUpload(t *testing.T) {
	b := newBench(t, 100, nil)
	u := b.create(sized("a", 60))
	b.write(u, 10)
	refused := errors.New("refused")
	if err := u.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("the error of the change: %v", err)
	}
	b.want(10, 60)
	err := u.UpdateInfo(t.Context(), func(info *tusd.FileInfo) error {
		info.State, info.Failure = tusd.StateFailed, &tusd.Failure{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.want(10, 10)
}

// Content that is refused, atomically or by a rewind, does not count.
func TestRollback(t *testing.T) {
	b := newBench(t, 100, nil)
	u := b.create(deferred("a"))
	b.write(u, 10)
	mismatch := io.MultiReader(strings.NewReader("hello"), errorReader{tusd.ErrUnverified})
	if n, err := b.composer.AtomicWriter.WriteAtomic(t.Context(), u, 10, mismatch); n != 0 || !errors.Is(err, tusd.ErrUnverified) {
		t.Errorf("an atomic write that fails: %d, %v", n, err)
	}
	b.want(10, 10)
	mismatch = io.MultiReader(strings.NewReader("hello"), errorReader{tusd.ErrUnverified})
	if n, err := u.WriteChunk(t.Context(), 10, mismatch); n != 5 || !errors.Is(err, tusd.ErrUnverified) {
		t.Errorf("a write that fails: %d, %v", n, err)
	}
	b.want(15, 15)
	if err := b.composer.Rewinder.Rewind(t.Context(), u, 10); err != nil {
		t.Fatal(err)
	}
	b.want(10, 10)
	b.create(sized("other", 20))
	big := strings.NewReader(strings.Repeat("x", 71))
	n, err := b.composer.AtomicWriter.WriteAtomic(t.Context(), u, 10, big)
	b.wantError("an atomic write that does not fit", err, tusd.ErrNoSpace)
	if n != 0 {
		t.Errorf("%d bytes are stored", n)
	}
	b.want(10, 30)
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// A final counts beside its partials, from its creation.
func TestFinal(t *testing.T) {
	b := newBench(t, 100, nil)
	var partials []tusd.Upload
	for _, id := range []string{"a", "b"} {
		info := sized(id, 20)
		info.IsPartial = true
		p := b.create(info)
		b.write(p, 20)
		partials = append(partials, p)
	}
	info := sized("final", 40)
	info.IsFinal, info.PartialUploads = true, []string{"a", "b"}
	final := b.create(info)
	b.want(40, 80)
	if err := b.composer.Concater.Concat(t.Context(), final, partials); err != nil {
		t.Fatal(err)
	}
	b.want(80, 80)
	info.ID = "second"
	_, err := b.tryCreate(info)
	b.wantError("a second final", err, tusd.ErrNoSpace)
}

// Each owner has a quota. Uploads without an owner have none.
func TestOwnerQuota(t *testing.T) {
	b := newBench(t, 1000, func(s *limitedstore.LimitedStore) { s.OwnerQuota = 100 })
	b.create(owned(sized("a", 60), "alice"))
	b.create(owned(sized("b", 90), "bob"))
	b.create(sized("c", 500))
	_, err := b.tryCreate(owned(sized("d", 41), "alice"))
	b.wantError("beyond the quota", err, tusd.ErrQuotaExceeded)
	u := b.create(owned(deferred("e"), "alice"))
	n, err := u.WriteChunk(t.Context(), 0, strings.NewReader(strings.Repeat("x", 41)))
	b.wantError("growth beyond the quota", err, tusd.ErrQuotaExceeded)
	if n != 40 || b.limited.OwnerUsage("alice") != 100 || b.limited.OwnerUsage("bob") != 90 {
		t.Errorf("%d bytes are stored; alice has %d, bob %d", n, b.limited.OwnerUsage("alice"), b.limited.OwnerUsage("bob"))
	}
	if err := b.composer.Terminater.Terminate(t.Context(), b.leases["a"], "a"); err != nil {
		t.Fatal(err)
	}
	if n, owners := b.limited.OwnerUsage("alice"), b.limited.Usage().Owners; n != 40 || owners != 2 {
		t.Errorf("alice has %d, there are %d owners", n, owners)
	}
	b.create(owned(sized("f", 60), "alice"))
	if err := b.composer.Terminater.Terminate(t.Context(), b.leases["b"], "b"); err != nil {
		t.Fatal(err)
	}
	if owners := b.limited.Usage().Owners; owners != 1 {
		t.Errorf("there are %d owners", owners)
	}
}

// The sums survive a clean stop without a count, also those of many owners.
func TestSumsAfterCleanStop(t *testing.T) {
	t.Parallel()
	quota := func(s *limitedstore.LimitedStore) { s.OwnerQuota = 1000 }
	b := newBench(t, 1<<30, quota)
	const owners = 2000
	for i := range owners {
		id := fmt.Sprint("upload-", i)
		b.create(owned(sized(id, int64(i%1000)), "owner "+id))
	}
	before := b.limited.Usage()
	closeStore(t, b.limited)
	var counted atomic.Int64
	b.memory = b.memory.Reopen()
	b.open(1<<30, func(s *limitedstore.LimitedStore) {
		quota(s)
		limitedstore.OnCount(s, func() { counted.Add(1) })
	})
	if after := b.limited.Usage(); after != before || counted.Load() != 0 {
		t.Errorf("the sums are %+v after %d counts, were %+v", after, counted.Load(), before)
	}
	for i := range owners {
		if n := b.limited.OwnerUsage(fmt.Sprint("owner upload-", i)); n != int64(i%1000) {
			t.Fatalf("owner %d has %d bytes", i, n)
		}
	}
	wantExact(t, b.limited)
}

// An upload that another process has removed counts until a request looks for it, or until the
// next count.
func TestRemovalByOthers(t *testing.T) {
	b := newBench(t, 1000, nil)
	for _, id := range []string{"a", "b"} {
		b.create(sized(id, 60))
		if err := b.memory.Terminate(t.Context(), b.leases[id], id); err != nil {
			t.Fatal(err)
		}
	}
	b.want(0, 120)
	if _, err := b.limited.GetUpload(t.Context(), b.leases["a"], "a"); !errors.Is(err, tusd.ErrNotFound) {
		t.Fatal(err)
	}
	b.want(0, 60)
	if err := b.leases["b"].Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if counted, err := limitedstore.Count(b.limited); err != nil || counted.Reserved != 0 {
		t.Errorf("counted are %+v, %v", counted, err)
	}
}

// A new limited store on a store with uploads counts them.
func TestFirstCount(t *testing.T) {
	b := newBench(t, 1000, nil)
	b.write(b.create(sized("a", 60)), 10)
	b.write(b.create(deferred("b")), 7)
	closeStore(t, b.limited)
	b.memory = b.memory.Reopen()
	if err := b.memory.DeleteSideRecord(t.Context(), tusd.SideRecordKey{Kind: "space", Name: "sums"}); err != nil {
		t.Fatal(err)
	}
	b.open(1000, nil)
	b.want(17, 67)
	text, err := b.memory.GetSideRecord(t.Context(), tusd.SideRecordKey{Kind: "space", Name: "sums"})
	if err != nil || !strings.Contains(string(text), `"Clean":false,"AtMost":1000,`) {
		t.Errorf("after the count the side record is %s, %v", text, err)
	}
}

// slowRecords is a store whose calls for side records of owners take long.
type slowRecords struct {
	*storetest.Memory
	takes atomic.Int64 // nanoseconds
}

func (s *slowRecords) wait(ctx context.Context, key tusd.SideRecordKey) error {
	if !strings.HasPrefix(key.Name, "owners-") {
		return nil
	}
	select {
	case <-time.After(time.Duration(s.takes.Load())):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slowRecords) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	if err := s.wait(ctx, key); err != nil {
		return nil, err
	}
	return s.Memory.GetSideRecord(ctx, key)
}

func (s *slowRecords) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if err := s.wait(ctx, key); err != nil {
		return err
	}
	return s.Memory.PutSideRecord(ctx, key, value)
}

func (s *slowRecords) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if err := s.wait(ctx, key); err != nil {
		return err
	}
	return s.Memory.DeleteSideRecord(ctx, key)
}

// Many owners do not hinder a start: their sums are read by several calls at once, or, if the
// service is too slow for that, counted.
func TestManyOwners(t *testing.T) {
	for takes, counted := range map[time.Duration]bool{time.Second: false, time.Minute: true} {
		synctest.Test(t, func(t *testing.T) {
			m := storetest.NewMemory()
			store := &slowRecords{Memory: m}
			b := &bench{TB: t, memory: m, core: store, locker: &tusd.LocalLocker{}, leases: make(map[string]tusd.Lease)}
			var counts atomic.Int64
			quota := func(s *limitedstore.LimitedStore) {
				s.OwnerQuota = 1000
				limitedstore.OnCount(s, func() { counts.Add(1) })
			}
			b.open(1<<30, quota)
			const owners = 15000 // 17 side records
			for i := range owners {
				id := fmt.Sprint("upload-", i)
				lease, err := b.locker.Lock(t.Context(), id, tusd.LockTry)
				if err == nil {
					_, err = b.limited.NewUpload(t.Context(), lease, owned(sized(id, 10), "owner "+id))
				}
				if err != nil {
					t.Fatal(err)
				}
				lease.Unlock(t.Context())
			}
			store.takes.Store(int64(time.Second))
			closeStore(t, b.limited)
			store.takes.Store(int64(takes))
			before, began := counts.Load(), time.Now()
			b.open(1<<30, quota)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("the start takes %v", took)
			}
			time.Sleep(time.Minute / 2)
			b.want(0, 10*owners)
			if u := b.limited.Usage(); u.Owners != owners || (counts.Load() > before) != counted {
				t.Errorf("with %v for each call there are %d counts, %d owners", takes, counts.Load()-before, u.Owners)
			}
			if names, _, err := m.ListSideRecords(t.Context(), "space", "", 100); err != nil || !counted && len(names) != 2 {
				t.Errorf("the side records are %v, %v", names, err)
			}
			store.takes.Store(0)
		})
	}
}
