package protocoltest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestFinalWaitsForItsPartials(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	full, open, final := e.pendingFinal()
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "5" {
		t.Errorf("HEAD of the pending final: %v", a.Header)
	}
	e.patch(final, 0, []byte("x")).status(403)
	e.get(final, version).status(409)
	for _, partial := range []string{full, open} {
		if a := e.terminate(partial).status(423); a.Header.Get("Retry-After") == "" {
			t.Error("423 without Retry-After")
		}
	}
	e.complete(open)
	e.eventually("the final is built by the end of its last partial", func() bool {
		return e.head(final).Header.Get("Upload-Offset") == "5"
	})
	if a := e.get(final, version).status(200); string(a.Body) != "abcde" {
		t.Errorf("content %q", a.Body)
	}
	e.terminate(open).status(204)
	e.terminate(full).status(204)
	e.get(final, version).status(200)
}

func TestFinalOfDeferredPartials(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	partial := e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(partial + " " + partial).status(201).location()
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "" {
		t.Errorf("HEAD of a final of unknown length: %v", a.Header)
	}
	e.patch(partial, 0, []byte("abc"), "Upload-Length: 3").status(204)
	e.eventually("the final is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "6" })
	if a := e.get(final, version).status(200); string(a.Body) != "abcabc" {
		t.Errorf("content %q", a.Body)
	}
}

func TestOldPendingFinalLetsItsPartialsGo(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	_, open, final := e.pendingFinal()
	e.eventually("the partials know the final", func() bool { return e.terminate(open).Status == 423 })
	e.ahead.Store(int64(25 * time.Hour))
	e.eventually("the partial can be removed", func() bool { return e.terminate(open).Status == 204 }) // 423 while the final is locked
	if a := e.head(final).status(410); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("a failed final has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	if a := e.raw("GET", final, nil, version).status(410); !strings.HasPrefix(string(a.Body), "ERR_UPLOAD_FAILED: a partial upload was removed") {
		t.Errorf("the answer to GET of a failed final is %q", a.Body)
	}
	e.terminate(final).status(204)
}

func TestPartialThatIsGoneFailsTheFinal(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	_, open, final := e.pendingFinal()
	e.stop()
	removeFromStore(t, store, open)
	next := serve(t, store, tusd.Config{})
	next.eventually("HEAD of the final is 410", func() bool { return next.head(final).Status == 410 })
}

func TestSlowFinalIsAnsweredBeforeItIsBuilt(t *testing.T) {
	slow := &slowConcat{Memory: storetest.NewMemory(), release: make(chan struct{})}
	e := serve(t, slow, tusd.Config{AcquireLockTimeout: 50 * time.Millisecond}, buildTimeout(20*time.Millisecond))
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	final := e.postFinal(partial).status(201).location()
	again := e.postFinal(partial).status(201).location()
	if again != final {
		t.Errorf("repeated while it is built: %s, want %s", again, final)
	}
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while it is built has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	e.terminate(partial).status(423)
	e.patch(final, 0, nil).status(403)
	close(slow.release)
	e.eventually("the final is built in the background", func() bool { return e.head(final).Header.Get("Upload-Offset") == "2" })
	if n := slow.calls.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
}

// slowConcat concatenates when it is released.
type slowConcat struct {
	*storetest.Memory
	release chan struct{}
	calls   atomic.Int32
}

func (s *slowConcat) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	s.calls.Add(1)
	<-s.release
	return s.Memory.Concat(ctx, final, partials)
}

func TestFinalBesideARunningPatch(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(4, "Upload-Concat: partial")
	patch := e.another().openNow(partial, 0, -1)
	patch.send([]byte("ab"))
	e.eventually("the PATCH is running", func() bool { return recordOf(t, store, partial).Offset == 2 })

	begun := time.Now()
	final := e.postFinal(partial).status(201).location()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("POST took %v, though there is nothing to wait for", took)
	}
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD of the pending final: Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	patch.send([]byte("cd")) // the PATCH was not disturbed
	patch.end()
	patch.answer().status(204)
	e.eventually("the final is built without a request for it", func() bool { return recordOf(t, store, final).Offset == 4 })
	e.eventually("its content is there", func() bool { return string(e.get(final, version).Body) == "abcd" })
}

func TestBusyPartialOfAPendingFinalIsKept(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(4, "Upload-Concat: partial")
	patch := e.another().openNow(partial, 0, -1)
	patch.send([]byte("ab"))
	e.eventually("the PATCH is running", func() bool { return recordOf(t, store, partial).Offset == 2 })
	e.postFinal(partial).status(201)
	if a := e.terminate(partial); a.Status != 423 {
		t.Errorf("DELETE of a partial that a pending final names: %d, want 423", a.Status)
	}
}

func TestPendingFinalSurvivesACrash(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	full, open, final := e.pendingFinal()
	e.stop()
	// This is the state after a crash before the records of the partials were changed.
	for _, path := range []string{full, open} {
		e.changeRecord(path, func(info *tusd.FileInfo) { info.Finals = nil })
	}
	next := serve(t, store, tusd.Config{})
	next.eventually("the partials are told again", func() bool {
		return len(recordOf(t, store, full).Finals) == 1 && len(recordOf(t, store, open).Finals) == 1
	})
	next.terminate(full).status(423)
	next.complete(open)
	next.eventually("the final is built without a request for it", func() bool { return recordOf(t, store, final).Offset == 5 })
	next.eventually("nothing is left to be done", func() bool {
		names, _, err := store.ListSideRecords(t.Context(), "building", "", 10)
		return err == nil && len(names) == 0
	})
}

func TestSpoiledPartialFailsItsFinal(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	partial := e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(partial).status(201).location()
	e.failPartial(partial)
	e.head(partial).status(410)
	e.eventually("the final has failed, too", func() bool { return e.head(final).Status == 410 })
	e.terminate(partial).status(204)
}

// A partial that becomes full just after the builder has read it for the last time starts
// another builder.
func TestPartialFullAfterTheLastLook(t *testing.T) {
	store := &lastLookStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	open := e.create(3, "Upload-Concat: partial")
	answered := make(chan int, 1)
	other := e.another()
	store.afterLastLook = func() { answered <- other.patch(open, 0, []byte("cde")).Status }
	store.partial.Store(strings.TrimPrefix(open, "/files/"))
	final := e.postFinal(open).status(201).location()
	if status := <-answered; status != 204 {
		t.Fatalf("PATCH of the partial: status %d", status)
	}
	e.eventually("the final is built without a request for it", func() bool { return recordOf(t, store.Memory, final).Offset == 3 })
	e.eventually("nothing is left to be done", func() bool { return sideRecords(t, store, "building") == 0 })
}

// lastLookStore calls afterLastLook once: after a builder has read a partial whose
// record names its final, and before the builder sees what it has read.
type lastLookStore struct {
	*storetest.Memory
	partial       atomic.Value // its id
	afterLastLook func()
}

func (s *lastLookStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	if err != nil || lease != nil || id != s.partial.Load() {
		return upload, err
	}
	info, err := upload.GetInfo(ctx)
	if err == nil && len(info.Finals) > 0 && s.partial.CompareAndSwap(id, "") {
		s.afterLastLook()
	}
	return readUpload{upload, info}, err
}

// readUpload is an upload with the record that was read before.
type readUpload struct {
	tusd.Upload
	info tusd.FileInfo
}

func (u readUpload) GetInfo(context.Context) (tusd.FileInfo, error) { return u.info, nil }
