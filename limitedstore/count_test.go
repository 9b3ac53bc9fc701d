package limitedstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// slowLister lists a few uploads at a time, so that others change meanwhile.
type slowLister struct{ tusd.Lister }

func (l slowLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, _ int) ([]tusd.Listed, string, error) {
	for range 20 {
		runtime.Gosched()
	}
	return l.Lister.List(ctx, cursor, filter, 3)
}

// walker makes random changes of uploads of its own, some of which have ids that were used
// before.
type walker struct {
	*bench
	random *rand.Rand
	prefix string
	errs   chan<- error
}

const walkerUploads = 12

func (w *walker) step(ctx context.Context) {
	id := fmt.Sprint(w.prefix, w.random.IntN(walkerUploads))
	lease, err := w.locker.Lock(ctx, id, tusd.LockWait)
	if err != nil {
		w.errs <- err
		return
	}
	defer lease.Unlock(context.Background())
	if err := w.change(ctx, lease, id); err != nil && !errors.Is(err, tusd.ErrNoSpace) && !errors.Is(err, tusd.ErrUnverified) {
		w.errs <- fmt.Errorf("%s: %w", id, err)
	}
}

// change creates, changes or removes an upload.
func (w *walker) change(ctx context.Context, lease tusd.Lease, id string) error {
	if w.random.IntN(5) == 0 { // also without a load before
		if err := w.composer.Terminater.Terminate(ctx, lease, id); !errors.Is(err, tusd.ErrNotFound) {
			return err
		}
	}
	if w.random.IntN(5) == 0 { // also if it exists
		return w.createAgain(ctx, lease, id)
	}
	u, err := w.limited.GetUpload(ctx, lease, id)
	if errors.Is(err, tusd.ErrNotFound) {
		return w.createAgain(ctx, lease, id)
	}
	if err != nil {
		return err
	}
	info, err := u.GetInfo(ctx)
	if err != nil || info.Full() {
		return err
	}
	room := int64(1000)
	if !info.SizeIsDeferred {
		room = info.Size - info.Offset
	}
	content := bytes.NewReader(make([]byte, w.random.Int64N(room+1)))
	switch w.random.IntN(6) {
	case 0:
		if info.SizeIsDeferred {
			return w.composer.LengthDeferrer.DeclareLength(ctx, u, info.Offset+w.random.Int64N(500))
		}
	case 1:
		_, err := w.composer.AtomicWriter.WriteAtomic(ctx, u, info.Offset, io.MultiReader(content, errorReader{tusd.ErrUnverified}))
		return err
	case 2:
		if _, err := u.WriteChunk(ctx, info.Offset, io.MultiReader(content, errorReader{tusd.ErrUnverified})); !errors.Is(err, tusd.ErrUnverified) {
			return err
		}
		return w.composer.Rewinder.Rewind(ctx, u, info.Offset)
	case 3:
		cancelled, cancel := context.WithCancel(ctx)
		_, err := u.WriteChunk(cancelled, info.Offset, io.MultiReader(content, readerFunc(func() error { cancel(); return io.EOF })))
		cancel()
		if !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	_, err = u.WriteChunk(ctx, info.Offset, content)
	return err
}

type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }

func (w *walker) createAgain(ctx context.Context, lease tusd.Lease, id string) error {
	info := owned(sized(id, w.random.Int64N(2000)), fmt.Sprint("owner ", w.random.IntN(4)))
	if w.random.IntN(2) == 0 {
		info.Size, info.SizeIsDeferred = 0, true
	}
	_, err := w.limited.NewUpload(ctx, lease, info)
	if errors.Is(err, tusd.ErrUploadExists) {
		return nil
	}
	return err
}

// A count beside changes gives the sums exactly, whatever they were before.
func TestCountBesideChanges(t *testing.T) {
	require.Long(t)
	const walkers = 8
	rounds := 5
	if require.Thorough() {
		rounds = 25
	}
	for round := range rounds {
		seed := rand.Uint64()
		b := newBench(t, 1<<20, func(s *limitedstore.LimitedStore) {
			s.OwnerQuota = 1 << 18
			limitedstore.WrapLister(s, func(l tusd.Lister) tusd.Lister { return slowLister{l} })
		})
		errs := make(chan error, 1000)
		work := func(steps int) *sync.WaitGroup {
			var working sync.WaitGroup
			for i := range walkers {
				w := &walker{b, rand.New(rand.NewPCG(seed, uint64(i))), fmt.Sprint("w", i, "-"), errs}
				working.Go(func() {
					for range steps {
						w.step(t.Context())
					}
				})
			}
			return &working
		}
		work(30).Wait()
		limitedstore.Corrupt(b.limited, -5000, 777)
		running := work(60)
		if _, err := limitedstore.Count(b.limited); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		wantExact(t, b.limited)
		if t.Failed() {
			t.Fatalf("round %d, seed %d", round, seed)
		}
	}
}

// The sums agree with the store also if calls of it fail in each way, as soon as the doubtful
// uploads were looked at.
func TestSumsAfterFaults(t *testing.T) {
	for _, form := range []storetest.FaultForm{storetest.Refused, storetest.Lost, storetest.CutSource} {
		for at := int64(1); ; at++ {
			b := newBench(t, 1<<20, nil)
			closeStore(t, b.limited)
			faults := &storetest.Faults{FailAt: 0, Form: form, CutAfter: 3}
			inner := tusd.NewStoreComposer()
			b.memory.UseIn(inner)
			b.limited = limitedstore.New(1<<20, faults.Wrap(inner))
			b.composer = tusd.NewStoreComposer()
			b.limited.UseIn(b.composer)
			if err := b.limited.Open(t.Context(), tusd.Env{Locker: b.locker}); err != nil {
				t.Fatal(err)
			}
			faults.FailAt = faults.Operations() + at
			scenario(b)
			fired := faults.Fired()
			faults.FailAt = 0
			wantExact(t, b.limited)
			closeStore(t, b.limited)
			if t.Failed() {
				t.Fatalf("form %s, operation %d", form, at)
			}
			if !fired {
				break
			}
		}
	}
}

// scenario changes uploads in each way and ignores errors.
func scenario(b *bench) {
	ctx := b.Context()
	concatScenario(b)
	for _, info := range []tusd.FileInfo{sized("a", 10), deferred("b"), deferred("c"), sized("d", 4)} {
		lease, err := b.locker.Lock(ctx, info.ID, tusd.LockTry)
		if err != nil {
			b.Fatal(err)
		}
		if u, err := b.limited.NewUpload(ctx, lease, info); err == nil {
			u.WriteChunk(ctx, 0, bytes.NewReader(make([]byte, 4)))
			b.composer.AtomicWriter.WriteAtomic(ctx, u, 4, bytes.NewReader(make([]byte, 3)))
			b.composer.Rewinder.Rewind(ctx, u, 4)
			if info.ID == "c" {
				known := int64(50)
				u.UpdateInfo(ctx, func(info *tusd.FileInfo) error { info.KnownLength = &known; return nil })
			}
			b.composer.LengthDeferrer.DeclareLength(ctx, u, 100)
			u.UpdateInfo(ctx, func(info *tusd.FileInfo) error { info.State = tusd.StateFailed; return nil })
		}
		if info.ID < "c" {
			b.composer.Terminater.Terminate(ctx, lease, info.ID)
		}
		lease.Unlock(ctx)
	}
}

// concatScenario builds a final of two partials, as a handler does, and ignores errors.
func concatScenario(b *bench) {
	ctx := b.Context()
	final := sized("final", 8)
	final.IsFinal, final.PartialUploads = true, []string{"p", "q"}
	p, q := sized("p", 4), sized("q", 4)
	p.IsPartial, q.IsPartial = true, true
	var uploads []tusd.Upload
	for _, info := range []tusd.FileInfo{p, q, final} {
		lease, err := b.locker.Lock(ctx, info.ID, tusd.LockTry)
		if err != nil {
			b.Fatal(err)
		}
		defer lease.Unlock(ctx)
		u, err := b.limited.NewUpload(ctx, lease, info)
		if err != nil {
			return
		}
		if info.IsPartial {
			u.WriteChunk(ctx, 0, bytes.NewReader(make([]byte, 4)))
		}
		uploads = append(uploads, u)
	}
	b.composer.Concater.Concat(ctx, uploads[2], uploads[:2])
}
