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

// Finals that cannot be built, and what they may cost.

// fullStore joins nothing while it has no room.
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

// sides counts the side records of the kinds that finals have.
func sides(t *testing.T, store tusd.SideRecords) (n int) {
	t.Helper()
	for _, kind := range []string{"building", "concat"} {
		names, _, err := store.ListSides(t.Context(), kind, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		n += len(names)
	}
	return n
}

func (l *life) post(list string, header ...string) reply {
	l.Helper()
	return l.send("POST", "/files/", "", append(header, "Upload-Concat", "final;"+list)...)
}

// full makes a partial that is complete.
func (l *life) full(content string) string {
	l.Helper()
	path := l.create(len(content), "Upload-Concat", "partial")
	l.want(l.patch(path, 0, content), 204)
	return path
}

func pathOf(a reply) string {
	location := a.Header.Get("Location")
	return location[strings.Index(location, "/files/"):]
}

func TestFinalWithoutRoomIsRefused(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{})
	partial := l.full("ab")
	store.full.Store(true)
	a := l.want(l.post(partial), 507)
	if a.Header.Get("Location") != "" || a.Header.Get("Retry-After") == "" || !strings.HasPrefix(a.body, "ERR_NO_SPACE") {
		t.Errorf("%v %q", a.Header, a.body)
	}
	ids, _, err := store.List(t.Context(), "", time.Time{}, 10)
	if err != nil || len(ids) != 1 || sides(t, store) != 0 {
		t.Errorf("the refused final has left something: uploads %v, %d side records, %v", ids, sides(t, store), err)
	}
	store.full.Store(false)
	final := pathOf(l.want(l.post(partial), 201))
	if a := l.want(l.send("GET", final, ""), 200); a.body != "ab" {
		t.Errorf("content %q", a.body)
	}
}

// A final whose client was told that it exists is not removed: it is tried
// again, less and less often, and built when there is room.
func TestFinalWaitsForRoom(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{})
	_, open, final := pending(l)
	store.full.Store(true)
	l.want(l.patch(open, 0, "cde"), 204)
	l.eventually("it is tried again", func() bool { return store.attempts.Load() >= 3 })
	if a := l.want(l.head(final), 200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD of a final without room: %v", a.Header)
	}
	l.want(l.send("DELETE", open, ""), 423)
	store.full.Store(false)
	l.eventually("it is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "5" })
	l.eventually("nothing is left to be done", func() bool {
		names, _, err := store.ListSides(t.Context(), "building", "", 10)
		return err == nil && len(names) == 0
	})
}

// A final that cannot be built fails a day after its creation, also if the
// server was restarted meanwhile, and lets its partials go.
func TestFinalFailsAfterADay(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{})
	full, open, location := pending(l)
	final := location[strings.Index(location, "/files/"):]
	store.full.Store(true)
	l.want(l.patch(open, 0, "cde"), 204)
	l.eventually("it was tried", func() bool { return store.attempts.Load() > 0 })
	l.stop()

	l = liveOn(t, store, tusd.Config{})
	l.later.Store(int64(23 * time.Hour))
	before := store.attempts.Load()
	l.eventually("it is tried after the restart", func() bool { return store.attempts.Load() > before+1 })
	l.want(l.head(final), 200)
	l.later.Store(int64(25 * time.Hour))
	l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
	if a := l.want(l.send("GET", final, ""), 410); !strings.Contains(a.body, "could not be built in a day") {
		t.Errorf("the failed final says %q", a.body)
	}
	l.eventually("nothing is left to be done", func() bool {
		names, _, err := store.ListSides(t.Context(), "building", "", 10)
		return err == nil && len(names) == 0
	})
	l.want(l.send("DELETE", open, ""), 204)
	l.want(l.send("DELETE", full, ""), 204)
}

const waitingFinals = 16

// slowCreation holds the creation of finals up until released.
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

// As many finals wait for one partial as may, however many ask at once.
func TestFinalsThatWaitForOnePartial(t *testing.T) {
	store := &slowCreation{Memory: storetest.NewMemory(), release: make(chan struct{})}
	l := liveOn(t, store, tusd.Config{})
	open := l.create(3, "Upload-Concat", "partial")
	var clients sync.WaitGroup
	var made, refused atomic.Int32
	finals := make(chan string, 100)
	for i := range 60 {
		clients.Go(func() {
			a := l.post(open, "Upload-Metadata", fmt.Sprintf("n%d", i))
			switch {
			case a.StatusCode == 201:
				made.Add(1)
				finals <- pathOf(a)
			case a.StatusCode == 503 && strings.HasPrefix(a.body, "ERR_TOO_MANY_FINALS") && a.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("POST: %d %q", a.StatusCode, a.body)
			}
		})
	}
	l.eventually("all have asked", func() bool { return store.arrived.Load()+refused.Load() == 60 })
	close(store.release)
	clients.Wait()
	if made.Load() > waitingFinals || made.Load()+refused.Load() != 60 {
		t.Errorf("%d finals wait, %d were refused; at most %d may wait", made.Load(), refused.Load(), waitingFinals)
	}
	if n := len(stored(t, store, open).Finals); n > waitingFinals {
		t.Errorf("the record of the partial names %d finals", n)
	}
	for i := int(made.Load()); i < waitingFinals; i++ {
		finals <- pathOf(l.want(l.post(open, "Upload-Metadata", fmt.Sprintf("more%d", i)), 201))
	}
	l.want(l.post(open, "Upload-Metadata", "over"), 503)
	if n := l.handler.Metrics().LimitsExceeded["finals"].Load(); n < 1 {
		t.Error("the limit is not counted")
	}
	// Those that are gone make room for others.
	for i := range 20 {
		l.want(l.post(open, "Upload-Metadata", fmt.Sprintf("beyond%d", i)), 503)
		l.want(l.send("DELETE", <-finals, ""), 204)
		finals <- pathOf(l.want(l.post(open, "Upload-Metadata", fmt.Sprintf("beyond%d", i)), 201))
	}
	if n := len(stored(t, store, open).Finals); n > waitingFinals {
		t.Errorf("the record of the partial names %d finals, with those that are gone", n)
	}
	l.want(l.patch(open, 0, "abc"), 204)
	close(finals)
	for final := range finals {
		l.eventually("a final that waited is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "3" })
	}
	l.want(l.post(open, "Upload-Metadata", "full"), 201) // a final of full partials does not wait
}

// meter is a store that holds builders up and counts them.
type meter struct {
	*storetest.Memory
	release       chan struct{}
	running, most atomic.Int32
}

func (s *meter) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	<-s.release
	return s.Memory.Concat(ctx, final, partials)
}

// Any number of finals are built by a bounded number at a time.
func TestFewFinalsAreBuiltAtOnce(t *testing.T) {
	store := &meter{Memory: storetest.NewMemory(), release: make(chan struct{})}
	l := liveOn(t, store, tusd.Config{}, buildTimeout(10*time.Millisecond))
	var finals []string
	for range 40 {
		finals = append(finals, pathOf(l.want(l.post(l.full("ab")), 201)))
	}
	l.eventually("builders run", func() bool { return store.running.Load() == 16 })
	close(store.release)
	for _, final := range finals {
		l.eventually("a final is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "2" })
	}
	if most := store.most.Load(); most > 16 {
		t.Errorf("%d finals were built at once", most)
	}
}

// HEAD of a final that waits looks up the final and one partial.
func TestHeadOfAPendingFinalIsCheap(t *testing.T) {
	store := &countingStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{})
	var list []string
	for range 20 {
		list = append(list, l.full("ab"))
	}
	open := l.create(3, "Upload-Concat", "partial")
	final := pathOf(l.want(l.post(strings.Join(append(list, open), " ")), 201))
	l.eventually("the builder is done", func() bool {
		before := store.loads.Load()
		l.want(l.head(final), 200)
		return store.loads.Load() == before+2
	})
	before := store.loads.Load()
	for range 10 {
		l.want(l.head(final), 200)
	}
	if n := store.loads.Load() - before; n > 20 {
		t.Errorf("%d lookups for 10 HEADs", n)
	}
	l.want(l.patch(open, 0, "cde"), 204)
	l.eventually("it is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "43" })
}

type countingStore struct {
	*storetest.Memory
	loads atomic.Int64
}

func (s *countingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.loads.Add(1)
	return s.Memory.GetUpload(ctx, lease, id)
}

// The sum of a final is held against MaxSize without overflow, again when the
// lengths of its partials become known, and before anything is copied.
func TestSumOfAFinal(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{MaxSize: 10})
	partial := l.full("abcd")
	l.want(l.post(partial+" "+partial), 201)
	l.want(l.post(partial+" "+partial+" "+partial), 413)
	open := l.want(l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Defer-Length", "1"), 201)
	final := pathOf(l.want(l.post(partial+" "+pathOf(open)+" "+pathOf(open)), 201))
	l.want(l.send("PATCH", pathOf(open), "", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "4"), 204)
	l.want(l.patch(pathOf(open), 0, "wxyz"), 204)
	copied := store.attempts.Load()
	l.eventually("the final that became too large has failed", func() bool { return l.head(final).StatusCode == 410 })
	if n := store.attempts.Load(); n != copied {
		t.Errorf("%d attempts to copy it", n-copied)
	}
	l.want(l.send("DELETE", pathOf(open), ""), 204)

	// What is stored of a partial counts, too, if its length is not known.
	open = l.want(l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Defer-Length", "1"), 201)
	l.want(l.patch(pathOf(open), 0, "123456"), 204)
	l.want(l.post(pathOf(open)+" "+pathOf(open)), 413)
}

func TestSumOfAFinalDoesNotOverflow(t *testing.T) {
	store := storetest.NewMemory()
	store.Synthetic = true
	l := liveOn(t, store, tusd.Config{})
	huge := l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Length", fmt.Sprint(int64(1)<<61))
	path := pathOf(l.want(huge, 201))
	l.want(l.post(strings.TrimSpace(strings.Repeat(path+" ", 4))), 413)
	l.want(l.post(strings.TrimSpace(strings.Repeat(path+" ", 8))), 413)
}

// A final is refused, before anything is stored, while as many as may wait for
// their first attempt.
func TestTooManyBuilders(t *testing.T) {
	store := &meter{Memory: storetest.NewMemory(), release: make(chan struct{})}
	l := liveOn(t, store, tusd.Config{}, buildTimeout(time.Millisecond), setBuilders(3, 3, time.Hour))
	partial := l.full("ab")
	for i := range 3 {
		l.want(l.post(l.full("ab"), "Upload-Metadata", fmt.Sprintf("n%d", i)), 201)
	}
	ids, _, _ := store.List(t.Context(), "", time.Time{}, 100)
	a := l.want(l.post(partial), 503)
	if !strings.HasPrefix(a.body, "ERR_TOO_MANY_FINALS") || a.Header.Get("Location") != "" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	if after, _, _ := store.List(t.Context(), "", time.Time{}, 100); len(after) != len(ids) {
		t.Errorf("%d uploads became %d", len(ids), len(after))
	}
	close(store.release)
	l.eventually("there is room for a builder", func() bool { return l.post(partial).StatusCode == 201 })
}

// Finals that find no place to wait for another attempt are not forgotten.
func TestFinalsWithoutABuilderAreBuilt(t *testing.T) {
	store := &fullStore{Memory: storetest.NewMemory()}
	l := liveOn(t, store, tusd.Config{}, setBuilders(2, 0, 10*time.Millisecond))
	var opens, finals []string
	for range 5 {
		_, open, final := pending(l)
		opens, finals = append(opens, open), append(finals, final)
	}
	store.full.Store(true)
	for _, open := range opens {
		l.want(l.patch(open, 0, "cde"), 204)
	}
	l.eventually("they are tried", func() bool { return store.attempts.Load() > 10 })
	store.full.Store(false)
	for _, final := range finals {
		id := strings.TrimPrefix(final, l.server.URL)
		l.eventually("it is built without anybody asking", func() bool { return storedOffset(t, store.Memory, id) == 5 })
	}
}

// A final that is removed before it is built leaves no side record that lasts.
func TestRemovedFinalLeavesNothingToBuild(t *testing.T) {
	store := storetest.NewMemory()
	l := liveOn(t, store, tusd.Config{})
	partial := l.create(10, "Upload-Concat", "partial")
	for range 3 {
		final := l.want(l.post(partial), 201)
		l.want(l.send("DELETE", pathOf(final), ""), 204)
	}
	if names, _, err := store.ListSides(t.Context(), "building", "", 100); err != nil || len(names) != 0 {
		t.Errorf("%d finals are to be built, %v", len(names), err)
	}
}
