package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// Tests of finals that cannot be built at once, and of the limits of building.

// fullStore concatenates nothing while full is set.
type fullStore struct {
	*storetest.Memory
	full     atomic.Bool
	attempts atomic.Int32
}

func (s *fullStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	s.attempts.Add(1)
	if s.full.Load() {
		return tusd.ErrNoSpace.With(errors.New("the disk is full"))
	}
	return s.Memory.Concat(ctx, final, partials)
}

func TestFinalWithoutRoomIsRefused(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	partial := e.createPartial([]byte("ab"))
	store.full.Store(true)
	a := e.postFinal(partial).status(507)
	if a.Header.Get("Location") != "" || a.Header.Get("Retry-After") == "" || !strings.HasPrefix(string(a.Body), "ERR_NO_SPACE") {
		t.Errorf("%v %q", a.Header, a.Body)
	}
	uploads, _, err := store.List(t.Context(), "", tusd.ListFilter{}, 10)
	if err != nil || len(uploads) != 1 || sideRecords(t, store, "building", "concat") != 0 {
		t.Errorf("the refused final has left something: uploads %v, %d side records, %v", uploads, sideRecords(t, store, "building", "concat"), err)
	}
	store.full.Store(false)
	final := e.postFinal(partial).status(201).location()
	if a := e.get(final, version).status(200); string(a.Body) != "ab" {
		t.Errorf("content %q", a.Body)
	}
}

// A final that was acknowledged is not removed: the server tries again, with backoff,
// until the store has space.
func TestFinalWaitsForRoom(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	_, open, final := e.pendingFinal()
	store.full.Store(true)
	e.complete(open)
	e.eventually("it is tried again", func() bool { return store.attempts.Load() >= 3 })
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD of a final without space: %v", a.Header)
	}
	e.terminate(open).status(423)
	store.full.Store(false)
	e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "5" })
	e.eventually("nothing is left to be done", func() bool { return sideRecords(t, store, "building") == 0 })
}

// A final that cannot be built fails a day after its creation, also after a restart. Then its
// partials can be terminated.
func TestFinalFailsAfterADay(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	full, open, final := e.pendingFinal()
	store.full.Store(true)
	e.complete(open)
	e.eventually("it was tried", func() bool { return store.attempts.Load() > 0 })
	e.stop()

	e = serve(t, store, tusd.Config{})
	e.ahead.Store(int64(23 * time.Hour))
	before := store.attempts.Load()
	e.eventually("it is tried after the restart", func() bool { return store.attempts.Load() > before+1 })
	e.head(final).status(200)
	e.ahead.Store(int64(25 * time.Hour))
	e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
	if a := e.raw("GET", final, nil, version).status(410); !strings.Contains(string(a.Body), "could not be built in a day") {
		t.Errorf("the failed final says %q", a.Body)
	}
	e.eventually("nothing is left to be done", func() bool { return sideRecords(t, store, "building") == 0 })
	e.terminate(open).status(204)
	e.terminate(full).status(204)
}

const waitingFinals = 16

// slowCreation delays the creation of finals until it is released.
type slowCreation struct {
	*storetest.Memory
	release chan struct{}
	arrived atomic.Int32
}

func (s *slowCreation) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if info.IsFinal {
		s.arrived.Add(1)
		<-s.release
	}
	return s.Memory.NewUpload(ctx, lease, info)
}

// The number of finals that wait for one partial is limited, also if many requests create
// them at the same time.
func TestFinalsThatWaitForOnePartial(t *testing.T) {
	store := &slowCreation{Memory: storetest.NewMemory(), release: make(chan struct{})}
	e := serve(t, store, tusd.Config{})
	open := e.create(3, "Upload-Concat: partial")
	var clients sync.WaitGroup
	var made, refused atomic.Int32
	finals := make(chan string, 100)
	for i := range 60 {
		clients.Go(func() {
			a := e.another().postFinal(open, fmt.Sprintf("Upload-Metadata: n%d", i))
			switch {
			case a.Status == 201:
				made.Add(1)
				finals <- a.location()
			case a.Status == 503 && strings.HasPrefix(string(a.Body), "ERR_TOO_MANY_FINALS") && a.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("POST: %d %q", a.Status, a.Body)
			}
		})
	}
	e.eventually("all have asked", func() bool { return store.arrived.Load()+refused.Load() == 60 })
	close(store.release)
	clients.Wait()
	if made.Load() > waitingFinals || made.Load()+refused.Load() != 60 {
		t.Errorf("%d finals wait, %d were refused; at most %d may wait", made.Load(), refused.Load(), waitingFinals)
	}
	if n := len(recordOf(t, store, open).Finals); n > waitingFinals {
		t.Errorf("the record of the partial names %d finals", n)
	}
	for i := int(made.Load()); i < waitingFinals; i++ {
		finals <- e.postFinal(open, fmt.Sprintf("Upload-Metadata: more%d", i)).status(201).location()
	}
	e.postFinal(open, "Upload-Metadata: over").status(503)
	if n := e.handler.Metrics().LimitsExceeded["finals"].Load(); n < 1 {
		t.Error("the limit is not counted")
	}
	// A terminated final does not count.
	for i := range 20 {
		e.postFinal(open, fmt.Sprintf("Upload-Metadata: beyond%d", i)).status(503)
		e.terminate(<-finals).status(204)
		finals <- e.postFinal(open, fmt.Sprintf("Upload-Metadata: beyond%d", i)).status(201).location()
	}
	if n := len(recordOf(t, store, open).Finals); n > waitingFinals {
		t.Errorf("the record of the partial names %d finals, with those that are gone", n)
	}
	e.patch(open, 0, []byte("abc")).status(204)
	close(finals)
	for final := range finals {
		e.eventually("a final that waited is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "3" })
	}
	e.postFinal(open, "Upload-Metadata: full").status(201) // a final of full partials does not wait
}

// blockingConcat blocks builders until it is released, and counts them.
type blockingConcat struct {
	*storetest.Memory
	release       chan struct{}
	running, most atomic.Int32
}

func (s *blockingConcat) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	<-s.release
	return s.Memory.Concat(ctx, final, partials)
}

// Only a bounded number of finals is built at a time.
func TestFewFinalsAreBuiltAtOnce(t *testing.T) {
	store := &blockingConcat{Memory: storetest.NewMemory(), release: make(chan struct{})}
	e := serve(t, store, tusd.Config{}, buildTimeout(10*time.Millisecond))
	var finals []string
	for range 40 {
		finals = append(finals, e.postFinal(e.createPartial([]byte("ab"))).status(201).location())
	}
	e.eventually("builders run", func() bool { return store.running.Load() == 16 })
	close(store.release)
	for _, final := range finals {
		e.eventually("a final is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "2" })
	}
	if most := store.most.Load(); most > 16 {
		t.Errorf("%d finals were built at once", most)
	}
}

// HEAD of a pending final loads the final and one partial.
func TestHeadOfAPendingFinalIsCheap(t *testing.T) {
	store := &countingStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	var list []string
	for range 20 {
		list = append(list, e.createPartial([]byte("ab")))
	}
	open := e.create(3, "Upload-Concat: partial")
	final := e.postFinal(strings.Join(append(list, open), " ")).status(201).location()
	e.eventually("the builder is done", func() bool {
		before := store.loads.Load()
		e.head(final).status(200)
		return store.loads.Load() == before+2
	})
	before := store.loads.Load()
	for range 10 {
		e.head(final).status(200)
	}
	if n := store.loads.Load() - before; n > 20 {
		t.Errorf("%d lookups for 10 HEADs", n)
	}
	e.patch(open, 0, []byte("cde")).status(204)
	e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "43" })
}

type countingStore struct {
	*storetest.Memory
	loads atomic.Int64
}

func (s *countingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.loads.Add(1)
	return s.Memory.GetUpload(ctx, lease, id)
}

// The sum of the partials is compared with MaxSize without overflow, and again when the
// lengths of partials become known, before anything is copied.
func TestSumOfAFinal(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{MaxSize: 10})
	partial := e.createPartial([]byte("abcd"))
	e.postFinal(partial + " " + partial).status(201)
	e.postFinal(partial + " " + partial + " " + partial).status(413)
	open := e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(partial + " " + open + " " + open).status(201).location()
	e.patch(open, 0, nil, "Upload-Length: 4").status(204)
	e.patch(open, 0, []byte("wxyz")).status(204)
	copied := store.attempts.Load()
	e.eventually("the final that became too large has failed", func() bool { return e.head(final).Status == 410 })
	if n := store.attempts.Load(); n != copied {
		t.Errorf("%d attempts to copy it", n-copied)
	}
	e.terminate(open).status(204)

	// If the length of a partial is not known, its stored bytes count.
	open = e.createDeferred("Upload-Concat: partial")
	e.patch(open, 0, []byte("123456")).status(204)
	e.postFinal(open + " " + open).status(413)
}

func TestSumOfAFinalDoesNotOverflow(t *testing.T) {
	store := storetest.NewMemory()
	store.Synthetic = true
	e := serve(t, store, tusd.Config{})
	path := e.create(1<<61, "Upload-Concat: partial")
	e.postFinal(strings.TrimSpace(strings.Repeat(path+" ", 4))).status(413)
	e.postFinal(strings.TrimSpace(strings.Repeat(path+" ", 8))).status(413)
}

// While the largest number of finals waits for the first attempt, a final is refused before
// anything is stored.
func TestTooManyBuilders(t *testing.T) {
	store := &blockingConcat{Memory: storetest.NewMemory(), release: make(chan struct{})}
	e := serve(t, store, tusd.Config{}, buildTimeout(time.Millisecond), setBuilders(3, 3, time.Hour))
	partial := e.createPartial([]byte("ab"))
	for i := range 3 {
		e.postFinal(e.createPartial([]byte("ab")), fmt.Sprintf("Upload-Metadata: n%d", i)).status(201)
	}
	ids, _, _ := store.List(t.Context(), "", tusd.ListFilter{}, 100)
	a := e.postFinal(partial).status(503)
	if !strings.HasPrefix(string(a.Body), "ERR_TOO_MANY_FINALS") || a.Header.Get("Location") != "" {
		t.Errorf("%v %q", a.Header, a.Body)
	}
	if after, _, _ := store.List(t.Context(), "", tusd.ListFilter{}, 100); len(after) != len(ids) {
		t.Errorf("%d uploads became %d", len(ids), len(after))
	}
	close(store.release)
	e.eventually("a builder is free", func() bool { return e.postFinal(partial).Status == 201 })
}

// Finals beyond the number that may wait for another attempt are built, too.
func TestFinalsWithoutABuilderAreBuilt(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{}, setBuilders(2, 0, 10*time.Millisecond))
	var opens, finals []string
	for range 5 {
		_, open, final := e.pendingFinal()
		opens, finals = append(opens, open), append(finals, final)
	}
	store.full.Store(true)
	for _, open := range opens {
		e.complete(open)
	}
	e.eventually("they are tried", func() bool { return store.attempts.Load() > 10 })
	store.full.Store(false)
	for _, final := range finals {
		e.eventually("it is built without a request for it", func() bool { return recordOf(t, store.Memory, final).Offset == 5 })
	}
}

// A final that is terminated before it is built leaves no side record.
func TestRemovedFinalLeavesNothingToBuild(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(10, "Upload-Concat: partial")
	for range 3 {
		final := e.postFinal(partial).status(201).location()
		e.terminate(final).status(204)
	}
	if names, _, err := store.ListSideRecords(t.Context(), "building", "", 100); err != nil || len(names) != 0 {
		t.Errorf("%d finals are to be built, %v", len(names), err)
	}
}
