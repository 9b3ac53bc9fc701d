package storetest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tus/tusd"
)

var tidyCases = []testCase{
	{"tidy/keeps-paused-uploads", "Tidier.Tidy: not even one that is paused", Tidy, tidyKeepsPaused},
	{"tidy/keeps-running-uploads", "Tidier.Tidy: not even one that is paused", Tidy, tidyKeepsRunning},
	{"tidy/keeps-running-elsewhere", "Tidier.Tidy: received by another process", Tidy, tidyKeepsRunningElsewhere},
	{"tidy/after-removals", "Tidier.Tidy: calls t.Report", Tidy | Terminate, tidyAfterRemovals},
	{"tidy/broken-records", "Tidier.Tidy: Everything else", Tidy, tidyBroken},
	{"tidy/dry-run", "Tidying.DryRun: nothing", Tidy, tidyDryRun},
	{"tidy/at-once", "Tidier.Tidy: Several calls", Tidy, tidyAtOnce},
	{"tidy/pace", "Tidying.Pace: returns the cause", Tidy, tidyPace},
}

// tidying returns a Tidying for which everything is old. It collects what is reported.
func (e *env) tidying(dryRun bool) (t tusd.Tidying, reported *[]tusd.Leftover) {
	reported = new([]tusd.Leftover)
	return tusd.Tidying{
		Before: time.Now().Add(24 * time.Hour),
		DryRun: dryRun,
		Lock: func(ctx context.Context, id string) (tusd.Lease, error) {
			return e.locker.Lock(ctx, id, tusd.LockTry)
		},
		Pace:   func(ctx context.Context) error { return context.Cause(ctx) },
		Report: func(l tusd.Leftover) { *reported = append(*reported, l) },
	}, reported
}

// tidy removes everything that the store does not need.
func (e *env) tidy(dryRun bool) []tusd.Leftover {
	e.Helper()
	t, reported := e.tidying(dryRun)
	e.must(e.composer.Tidier.Tidy(e.Context(), t))
	return *reported
}

// wantNoLeftover checks that nothing was reported of uploads that exist.
func (e *env) wantNoLeftover(reported []tusd.Leftover) {
	e.Helper()
	for _, l := range reported {
		if l.Removed || e.exist[l.Upload] {
			e.Errorf("reported as a leftover: %+v", l)
		}
	}
}

// createStates creates uploads in many states and returns their offsets.
func createStates(e *env) map[string]int64 {
	offsets := make(map[string]int64)
	for id := range createClasses(e) {
		offsets[id] = e.info(e.load(id)).Offset
	}
	e.createComplete("empty", 0)
	e.createFull("full", 20)
	offsets["empty"], offsets["full"] = 0, 20
	generated := "0123456789abcdef0123456789abcdef" // like the ids that a server makes
	e.create(generated, 10)
	e.create("dir/inner", 10)
	offsets[generated], offsets["dir/inner"] = 0, 0
	final := newInfo("final", 10)
	final.IsFinal, final.PartialUploads, final.State = true, []string{"full-partial"}, tusd.StateUploading
	e.createInfo(final)
	offsets["final"] = 0
	if e.composer.LengthDeferrer != nil {
		e.write(e.createDeferred("deferred"), "deferred", 0, 7)
		e.createDeferred("deferred-empty")
		offsets["deferred"], offsets["deferred-empty"] = 7, 0
	}
	return offsets
}

func (e *env) wantAllStored(offsets map[string]int64) {
	e.Helper()
	for id, n := range offsets {
		e.wantStored(id, n)
	}
}

// tidyKeepsPaused tidies beside uploads in every state that were not changed for a long
// time, and continues them.
func tidyKeepsPaused(e *env) {
	offsets := createStates(e)
	for range 2 {
		e.reopen()
		e.wantNoLeftover(e.tidy(false))
		e.wantAllStored(offsets)
	}
	for _, id := range []string{"never-started", "unfinished", "partial", "dir/inner"} {
		e.write(e.load(id), id, offsets[id], 10)
		offsets[id] = 10
	}
	e.release()
	e.wantNoLeftover(e.tidy(false))
	e.wantAllStored(offsets)
}

// tidyKeepsRunning tidies while chunks arrive and an upload is locked.
func tidyKeepsRunning(e *env) { e.tidyWhileRunning(e.tidying(false)) }

// tidyKeepsRunningElsewhere tidies what has not changed for a day, while another process, whose
// locks are not seen, receives chunks.
func tidyKeepsRunningElsewhere(e *env) {
	t, reported := e.tidying(false)
	t.Before = time.Now().Add(-24 * time.Hour)
	t.Lock = func(ctx context.Context, id string) (tusd.Lease, error) {
		return new(tusd.LocalLocker).Lock(ctx, id, tusd.LockTry) // a new locker has no locks
	}
	e.tidyWhileRunning(t, reported)
}

func (e *env) tidyWhileRunning(t tusd.Tidying, reported *[]tusd.Leftover) {
	writes := map[string]func(tusd.Upload, io.Reader) (int64, error){
		"plain": func(u tusd.Upload, src io.Reader) (int64, error) { return u.WriteChunk(e.Context(), 10, src) },
	}
	if c := e.composer.AtomicWriter; c != nil {
		writes["atomic"] = func(u tusd.Upload, src io.Reader) (int64, error) {
			return c.WriteAtomic(e.Context(), u, 10, src)
		}
	}
	for id, write := range writes {
		upload := e.create(id, 100)
		e.write(upload, id, 0, 10)
		src, client := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := write(upload, src)
			src.CloseWithError(err)
			done <- err
		}()
		content := slices.Collect(chunks(id, 10, 100, 30))
		for _, part := range content {
			if _, err := client.Write(part); err != nil {
				e.Fatalf("%s: %v", id, err)
			}
			e.must(e.composer.Tidier.Tidy(e.Context(), t))
			e.wantNoLeftover(*reported)
		}
		client.Close()
		e.must(<-done)
		e.unlock(id)
		e.wantStored(id, 100)
	}
}

// chunks returns the Content of id from offset up to to, in pieces of n bytes.
func chunks(id string, offset, to, n int64) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for ; offset < to; offset += n {
			part, err := io.ReadAll(ContentReader(id, offset, min(offset+n, to)))
			if err != nil || !yield(part) {
				return
			}
		}
	}
}

// tidyAfterRemovals tidies when uploads are removed, of which nothing may be left.
func tidyAfterRemovals(e *env) {
	e.create("fresh", 10)
	e.write(e.create("half", 10), "half", 0, 5)
	e.createComplete("complete", 10)
	e.createComplete("stays", 10)
	for _, id := range []string{"fresh", "half", "complete"} {
		e.terminate(id)
		e.unlock(id)
	}
	for range 2 {
		for _, l := range e.tidy(false) {
			e.Errorf("left behind by a removal: %+v", l)
		}
	}
	e.wantStored("stays", 10)
	e.create("half", 10)
	e.wantStored("half", 0)
}

// tidyBroken checks that an upload that cannot be read stays. It is reported if the store
// finds it: a listing need not tell that a record is broken.
func tidyBroken(e *env) {
	if e.harness.Break == nil {
		return
	}
	e.createFull("good", 10)
	e.createFull("bad", 10)
	e.release()
	e.harness.Break(e.TB, e.composer, "bad")
	for range 2 {
		var broken []tusd.Leftover
		for _, l := range e.tidy(false) {
			if l.Removed || l.Upload != "bad" && l.Upload != "" {
				e.Errorf("beside a broken record: %+v", l)
			}
			if l.Kind == tusd.LeftoverBroken {
				broken = append(broken, l)
			}
		}
		if len(broken) > 1 || len(broken) == 1 && (broken[0].Upload != "bad" || broken[0].Name == "" || broken[0].Err == nil) {
			e.Errorf("reported as broken: %+v, want the upload bad", broken)
		}
		_, err := e.store.GetUpload(e.Context(), nil, "bad")
		e.wantError("load the broken record", err, tusd.ErrBroken)
		e.wantStored("good", 10)
	}
}

// tidyDryRun checks that a dry run reports what the next run reports, and changes nothing.
func tidyDryRun(e *env) {
	offsets := createStates(e)
	e.release()
	first := e.tidy(true)
	second := e.tidy(true)
	if len(first) != len(second) {
		e.Errorf("a dry run reports %+v, a second one %+v", first, second)
	}
	e.wantNoLeftover(first)
	e.wantAllStored(offsets)
}

// tidyAtOnce tidies several times at once, while uploads come and go.
func tidyAtOnce(e *env) {
	offsets := createStates(e)
	e.release()
	if e.harness.Leave != nil {
		e.harness.Leave(e.TB, e.composer)
	}
	e.waitSettleTime()
	before := time.Now() // younger ones change meanwhile
	var sweepers sync.WaitGroup
	results := make(chan tidied, 3)
	for range cap(results) {
		t, reported := e.tidying(false)
		t.Before = before
		sweepers.Go(func() {
			var err error
			for range 10 {
				err = errors.Join(err, e.composer.Tidier.Tidy(e.Context(), t))
			}
			results <- tidied{*reported, err}
		})
	}
	for range 10 {
		lease, err := e.locker.Lock(e.Context(), "busy", tusd.LockWait)
		e.must(err)
		upload, err := e.store.NewUpload(e.Context(), lease, newInfo("busy", 10))
		e.must(err)
		e.write(upload, "busy", 0, 10)
		e.must(lease.Unlock(e.Context()))
		e.wantStored("busy", 10)
		if e.composer.Terminater == nil {
			e.exist["busy"] = true
			break
		}
		lease, err = e.locker.Lock(e.Context(), "busy", tusd.LockWait)
		e.must(err)
		e.must(e.composer.Terminater.Terminate(e.Context(), lease, "busy"))
		e.must(lease.Unlock(e.Context()))
	}
	sweepers.Wait()
	close(results)
	e.wantTidiedOnce(results)
	e.wantAllStored(offsets)
}

// tidied is the result of calls of Tidy.
type tidied struct {
	reported []tusd.Leftover
	err      error
}

// wantTidiedOnce checks that sweepers at the same time have removed each leftover once, and nothing
// of uploads. A last sweep removes what was locked by another one each time.
func (e *env) wantTidiedOnce(results <-chan tidied) {
	e.Helper()
	all := []tidied{{e.tidy(false), nil}}
	for r := range results {
		all = append(all, r)
	}
	removed := make(map[string]int)
	for _, r := range all {
		if r.err != nil {
			e.Errorf("Tidy beside others: %v", r.err)
		}
		for _, l := range r.reported {
			if l.Err != nil && !errors.Is(l.Err, tusd.ErrUploadLocked) || e.exist[l.Upload] {
				e.Errorf("reported beside others: %+v", l)
			}
			if l.Removed {
				removed[l.Name]++
			}
		}
	}
	for name, times := range removed {
		if times > 1 {
			e.Errorf("%s was removed %d times", name, times)
		}
	}
	if e.harness.Leave != nil && len(removed) == 0 {
		e.Error("no leftover was removed")
	}
	for _, l := range e.tidy(true) {
		if l.Removed {
			e.Errorf("left behind: %+v", l)
		}
	}
}

// tidyPace checks that the error of Pace, and the end of ctx, end a call.
func tidyPace(e *env) {
	offsets := createStates(e)
	e.release()
	refused := errors.New("refused by the caller")
	t, _ := e.tidying(false)
	t.Pace = func(context.Context) error { return refused }
	if err := e.composer.Tidier.Tidy(e.Context(), t); err != nil { // a store that has nothing to look at does not call it
		e.wantError("Tidy with a Pace that fails", err, refused)
	}
	ctx, cancel := context.WithCancelCause(e.Context())
	cancel(refused)
	t, _ = e.tidying(false)
	e.wantError("Tidy after the end of ctx", e.composer.Tidier.Tidy(ctx, t), refused)
	e.wantAllStored(maps.Clone(offsets))
}
