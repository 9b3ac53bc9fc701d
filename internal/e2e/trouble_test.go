package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// In these tests the server has trouble at every single step of an upload, one
// step after another, as long as there is a step left. Whatever the answer:
// the client must go on with the upload that it has.

// troubleSize makes several chunks of troubleChunk and a rest.
const (
	troubleChunk = 64 << 10
	troubleSize  = 2*troubleChunk + 1000
)

// maxSteps is more steps than an upload can have: a sweep that gets there
// does not end by itself.
const maxSteps = 200

// trouble puts the n-th step of a server wrong.
type trouble func(n int64, composer *tusd.StoreComposer) (with *tusd.StoreComposer, fired func() bool)

func TestTroubleMakesNoSecondUpload(t *testing.T) {
	lockService := errors.New("the lock service is out of reach")
	for name, trouble := range map[string]trouble{
		"store refuses":             storeFaults(storetest.Refused, 1),
		"store refuses three times": storeFaults(storetest.Refused, 3),
		"store loses its answer":    storeFaults(storetest.Lost, 1),
		"request cut short":         storeFaults(storetest.CutSource, 1),
		"lock taken by another":     lockFaults(tusd.ErrUploadLocked),
		"lock not given back":       lockFaults(tusd.ErrLockTimeout),
		"lock service away":         lockFaults(lockService),
	} {
		for _, client := range bothClients {
			t.Run(name+"/"+client, func(t *testing.T) {
				t.Parallel()
				sweep(t, job{Client: client, Options: map[string]any{"chunkSize": troubleChunk}}, trouble)
			})
		}
	}
}

// TestTroubleWithParallelUploads sweeps the concatenation, too.
func TestTroubleWithParallelUploads(t *testing.T) {
	t.Parallel()
	j := job{Client: newClient, Options: map[string]any{"parallelUploads": 2}}
	sweep(t, j, lockFaults(tusd.ErrLockTimeout))
}

// sweep uploads with trouble at step 1, 2, 3 ... until an upload ends before
// its trouble begins.
func sweep(t *testing.T, j job, wrong trouble) {
	var sum string
	j.File, sum = writeContent(t, troubleSize)
	for n := int64(1); n <= maxSteps; n++ {
		memory := storetest.NewMemory()
		composer, fired := wrong(n, compose(memory))
		r := startRelay(t, startHandler(t, composer))
		url := upload(t, r, j)
		wantOneUpload(t, r)
		r.retarget(startHandler(t, compose(memory))) // trouble in a download is another matter
		r.cut()
		wantContent(t, url, sum)
		if t.Failed() {
			t.Fatalf("with trouble at step %d", n)
		}
		if !fired() {
			if n == 1 {
				t.Error("no upload had any trouble")
			}
			return
		}
	}
	t.Errorf("uploads have more than %d steps", maxSteps)
}

func compose(store *storetest.Memory) *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	return composer
}

// startHandler serves a handler at /files/ until the test ends and returns
// its host and port.
func startHandler(t *testing.T, composer *tusd.StoreComposer) string {
	t.Helper()
	handler, err := tusd.NewHandler(tusd.Config{
		BasePath:      "/files/",
		StoreComposer: composer,
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", handler))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return strings.TrimPrefix(server.URL, "http://")
}

// wantOneUpload checks that each creation that succeeded was the only one of
// its kind. A creation that failed leaves a client nothing to go on with, so
// it may be repeated.
func wantOneUpload(t *testing.T, r *relay) {
	t.Helper()
	made := 0
	for _, post := range r.seen("POST") {
		if post.Status == http.StatusCreated && post.Concat == "" {
			made++
		}
	}
	if partials := concats(r, "partial"); made+len(partials) == 0 || made > 1 {
		t.Errorf("%d uploads were created, want 1", made)
	}
	if finals := concats(r, "final"); len(finals) > 1 {
		t.Errorf("%d finals were created, want one", len(finals))
	}
	if t.Failed() {
		logExchanges(t, r)
	}
}

// concats lists the different addresses of the uploads that were created with
// an Upload-Concat of one kind.
func concats(r *relay, kind string) map[string]bool {
	found := make(map[string]bool)
	for _, post := range r.seen("POST") {
		if post.Status == http.StatusCreated && strings.HasPrefix(post.Concat, kind) {
			found[post.Location] = true
		}
	}
	return found
}

// storeFaults has times operations of the store fail, from the n-th on.
func storeFaults(form storetest.FaultForm, times int) trouble {
	return func(n int64, composer *tusd.StoreComposer) (*tusd.StoreComposer, func() bool) {
		var outermost *storetest.Faults
		for range times { // what one refuses, the next inside does not count
			outermost = &storetest.Faults{FailAt: opening + n, Form: form, CutAfter: 100}
			composer = outermost.Wrap(composer)
		}
		return composer, outermost.Fired
	}
}

// opening is how many operations NewHandler makes. They are to succeed.
const opening = 1

// lockFaults has three calls of the locker fail, from the n-th on.
func lockFaults(err error) trouble {
	return func(n int64, composer *tusd.StoreComposer) (*tusd.StoreComposer, func() bool) {
		locker := &faultyLocker{Locker: &tusd.LocalLocker{}, failAt: n, err: err}
		composer.UseLocker(locker)
		return composer, locker.fired.Load
	}
}

// faultyLocker is a Locker that fails three times in a row.
type faultyLocker struct {
	tusd.Locker
	failAt int64
	err    error

	calls atomic.Int64
	fired atomic.Bool
}

func (l *faultyLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	if n := l.calls.Add(1); n >= l.failAt && n < l.failAt+3 {
		l.fired.Store(true)
		return nil, fmt.Errorf("call %d: %w", n, l.err)
	}
	return l.Locker.Lock(ctx, id, mode)
}
