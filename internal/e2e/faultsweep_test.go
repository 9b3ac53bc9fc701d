package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/storetest"
)

// In these tests a step of the server fails: the first, the second, and so on, until an
// upload has fewer steps. After every answer the client must continue its upload, and
// must not create a second one.

// faultUploadSize is two chunks of faultChunkSize and a smaller one.
const (
	faultChunkSize  = 64 << 10
	faultUploadSize = 2*faultChunkSize + 1000
)

// maxSteps is more than the steps of an upload. A sweep that reaches it fails.
const maxSteps = 200

// stepFault makes the n-th step of a server fail.
type stepFault func(n int64, composer *tusd.StoreComposer) (with *tusd.StoreComposer, fired func() bool)

// stepFaults are all kinds of faults.
var stepFaults = map[string]stepFault{
	"store refuses":                storeFaults(storetest.Refused, 1),
	"store refuses three times":    storeFaults(storetest.Refused, 3),
	"store loses its answer":       storeFaults(storetest.Lost, 1),
	"request cut short":            storeFaults(storetest.CutSource, 1),
	"lock held by another request": lockFaults(tusd.ErrUploadLocked),
	"lock not released":            lockFaults(tusd.ErrLockTimeout),
	"lock service unreachable":     lockFaults(errors.New("the lock service is unreachable")),
}

func TestFaultsMakeNoSecondUpload(t *testing.T) {
	t.Parallel()
	for name, fault := range stepFaults {
		for _, client := range jsClients {
			t.Run(name+"/"+client, func(t *testing.T) {
				t.Parallel()
				sweep(t, job{Client: client, Options: map[string]any{"chunkSize": faultChunkSize}}, fault, wantOneUpload)
			})
		}
	}
}

// TestFaultsMakeNoSecondDraftUpload sweeps uploads of the IETF draft.
func TestFaultsMakeNoSecondDraftUpload(t *testing.T) {
	t.Parallel()
	for name, fault := range stepFaults {
		for _, draft := range drafts {
			t.Run(name+"/"+draft, func(t *testing.T) {
				t.Parallel()
				sweep(t, draftJob(draft, map[string]any{"chunkSize": faultChunkSize}), fault, wantOneUpload)
			})
		}
	}
}

// TestFaultsMakeNoSecondOptimisticUpload sweeps uploads whose creation has all the
// content, in the versions that differ most.
func TestFaultsMakeNoSecondOptimisticUpload(t *testing.T) {
	require.Long(t)
	t.Parallel()
	for name, fault := range stepFaults {
		for _, interop := range []int{6, 9} {
			t.Run(fmt.Sprintf("%s/interop %d", name, interop), func(t *testing.T) {
				t.Parallel()
				if strings.HasSuffix(name, "three times") { // a client waits longer after each
					require.Long(t)
				}
				content, sum := makeContent(t, faultUploadSize)
				upload := func(r *relay) string { return newDraftClient(t, r, interop, content).upload() }
				sweepSteps(t, upload, sum, fault, wantOneLocation)
			})
		}
	}
}

// TestFaultsMakeNoSecondFinal sweeps uploads in two partials and their concatenation.
func TestFaultsMakeNoSecondFinal(t *testing.T) {
	t.Parallel()
	for name, fault := range stepFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sweep(t, job{Client: newClient, Options: map[string]any{"parallelUploads": 2}}, fault, wantOneFinal)
		})
	}
}

// sweep is sweepSteps for a job.
func sweep(t *testing.T, j job, fault stepFault, check func(*testing.T, *relay)) {
	var sum string
	j.File, sum = writeContent(t, faultUploadSize)
	sweepSteps(t, func(r *relay) string { return upload(t, r, j) }, sum, fault, check)
}

// sweepSteps uploads with a fault at step 1, 2, 3 ... until an upload has fewer steps.
func sweepSteps(t *testing.T, upload func(*relay) string, sum string, fault stepFault, check func(*testing.T, *relay)) {
	for n := int64(1); n <= maxSteps; n++ {
		memory := storetest.NewMemory()
		composer, fired := fault(n, compose(memory))
		r := startRelay(t, startHandler(t, composer))
		url := upload(r)
		check(t, r)
		r.retarget(startHandler(t, compose(memory))) // faults in a download are tested elsewhere
		r.cut()
		wantContent(t, url, sum)
		if t.Failed() {
			logExchanges(t, r)
			t.Fatalf("with a fault at step %d", n)
		}
		if !fired() {
			if n == 1 {
				t.Error("no upload met a fault")
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

// wantOneUpload checks that one creation succeeded. A client must repeat a creation
// that failed.
func wantOneUpload(t *testing.T, r *relay) {
	t.Helper()
	if made := awaitCreations(r, "", 1); len(made) != 1 {
		t.Errorf("uploads were created at %q, want one", made)
	}
}

// wantOneLocation checks that all answers name the same upload. The client checks its
// 104s (draftClient.setURL).
func wantOneLocation(t *testing.T, r *relay) {
	t.Helper()
	locations := make(map[string]bool)
	for _, post := range r.seen("POST") {
		locations[post.Location] = true
	}
	delete(locations, "")
	if len(locations) > 1 {
		t.Errorf("answers name the uploads %q, want one", slices.Collect(maps.Keys(locations)))
	}
}

// wantOneFinal checks that each partial was created once, and that a repeated
// concatenation created no second final.
func wantOneFinal(t *testing.T, r *relay) {
	t.Helper()
	if partials := awaitCreations(r, "partial", 2); len(partials) != 2 {
		t.Errorf("partials were created at %q, want two", partials)
	}
	if finals := awaitCreations(r, "final", 1); len(slices.Compact(finals)) != 1 {
		t.Errorf("finals were created at %q, want one", finals)
	}
}

// awaitCreations waits until there are n creations, at most 5 s: the client may end
// before the relay has read its last answer.
func awaitCreations(r *relay, kind string, n int) []string {
	deadline := time.Now().Add(5 * time.Second)
	for tick := time.NewTicker(time.Millisecond); len(creations(r, kind)) < n && time.Now().Before(deadline); {
		<-tick.C
	}
	return creations(r, kind)
}

// creations lists the addresses in the answers to successful creations whose
// Upload-Concat is of a kind, sorted.
func creations(r *relay, kind string) (addresses []string) {
	for _, post := range r.seen("POST") {
		of, _, _ := strings.Cut(post.Concat, ";")
		if post.Status == http.StatusCreated && of == kind {
			addresses = append(addresses, post.Location)
		}
	}
	slices.Sort(addresses)
	return addresses
}

// storeFaults has times operations of the store fail, from the n-th on.
func storeFaults(form storetest.FaultForm, times int) stepFault {
	return func(n int64, composer *tusd.StoreComposer) (*tusd.StoreComposer, func() bool) {
		var outermost *storetest.Faults
		if form != storetest.CutSource { // CutSource counts only writes
			n += opening
		}
		for range times { // an operation that one refuses does not reach the next inside
			outermost = &storetest.Faults{FailAt: n, Form: form, CutAfter: 100}
			composer = outermost.Wrap(composer)
		}
		return composer, outermost.Fired
	}
}

// opening is the number of operations of NewHandler, which must succeed.
const opening = 1

// lockFaults has three calls of the locker fail, from the n-th on.
func lockFaults(err error) stepFault {
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

// draftJob is an upload of a buffer with an IETF draft. For a file stream in Node.js,
// tus-js-client marks no request as the last one, so that an upload of several requests
// never becomes complete.
func draftJob(draft string, options map[string]any) job {
	with := map[string]any{"protocol": draft}
	maps.Copy(with, options)
	return job{Client: newClient, Buffer: true, Options: with}
}
