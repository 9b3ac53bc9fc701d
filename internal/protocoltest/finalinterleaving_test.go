package protocoltest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// Requests and builders of one final that run at the same time, in a chosen order.

// A server lists the unbuilt finals when it starts. It does not build a final that a request
// is creating: this request removes a final that does not fit, and refuses it.
func TestListedFinalIsBuiltByItsRequest(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		last := tusd.SideRecordKey{Kind: "building", Name: strings.Repeat("f", 64)} // after all others
		stored, listed := make(chan struct{}), make(chan struct{})
		store.onListSideRecords = func(kind string) {
			if kind == last.Kind {
				await(t, stored)
				if err := store.concatStore.PutSideRecord(t.Context(), last, []byte("removed")); err != nil {
					t.Error(err)
				}
			}
		}
		end := sync.OnceFunc(func() { close(listed) })
		store.onRead = func(id string) {
			if id == "removed" {
				end()
			}
		}
		store.onPutSideRecord = func(key tusd.SideRecordKey) error {
			if key.Kind == "concat" { // the final's side record of kind building is stored
				close(stored)
				await(t, listed)
			}
			return nil
		}
		store.onConcat = func(func() error) error { return tusd.ErrNoSpace }
		e := serve(t, store, tusd.Config{})
		e.postFinal(e.createPartial([]byte("ab"))).status(507)
	})
}

// A final that is removed while its builder ends leaves no side record.
func TestRemovedWhileItsBuilderEnds(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{})
		full, open, final := e.pendingFinal()
		other := e.another()
		remove := sync.OnceFunc(func() { other.terminate(final).status(204) })
		store.onDeleteSideRecord = func(key tusd.SideRecordKey) {
			if key.Kind == "building" { // the final is built and unlocked
				remove()
			}
		}
		e.complete(open)
		e.eventually("the final is removed", func() bool { return e.head(final).Status == 404 })
		e.wantForgotten(store, full, open)
	})
}

// A request for the same final creates none while a final that does not fit is removed:
// the side record that finds it would be removed, too.
func TestEqualRequestWhileAFinalIsDiscarded(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{})
		partial := e.createPartial([]byte("ab"))
		other := e.another()
		var full atomic.Bool
		full.Store(true)
		store.onConcat = func(join func() error) error {
			if full.Load() {
				return tusd.ErrNoSpace
			}
			return join()
		}
		store.onTerminate = func(terminate func() error) error {
			err := terminate()
			full.Store(false)
			other.postFinal(partial).status(423)
			return err
		}
		e.postFinal(partial).status(507)
		first := e.postFinal(partial).status(201).location()
		if again := e.postFinal(partial).status(201).location(); again != first {
			t.Errorf("two equal requests made %s and %s", first, again)
		}
	})
}

// After a restart the partials of a final are kept, also before its builder has read
// the final.
func TestRestartedBuilderProtectsPartials(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{})
		_, open, final := e.pendingFinal()
		partials := recordOf(t, store.concatStore, final).PartialUploads
		store.onConcat = func(func() error) error { return tusd.ErrInternal }
		e.complete(open)
		e.stop()
		for _, id := range partials { // as if the server was killed while it copied
			e.changeRecord("/files/"+id, func(info *tusd.FileInfo) { info.Finals = nil })
		}
		store.reopen()

		last := tusd.SideRecordKey{Kind: "building", Name: strings.Repeat("f", 64)} // after all others
		asked, listed, end := make(chan struct{}), make(chan struct{}), make(chan struct{})
		store.onListSideRecords = func(kind string) {
			if kind == last.Kind {
				await(t, asked)
				if err := store.concatStore.PutSideRecord(t.Context(), last, []byte("removed")); err != nil {
					t.Error(err)
				}
			}
		}
		found := sync.OnceFunc(func() { close(listed) })
		store.onRead = func(id string) {
			if id == "removed" {
				found()
			}
		}
		var loads atomic.Int32
		store.onLoad = func(id string) {
			if strings.HasSuffix(final, id) && loads.Add(1) == 2 { // after the HEAD its builder
				await(t, end)
			}
		}
		next := serve(t, store, tusd.Config{})
		next.head(final).status(200)
		close(asked)
		await(t, listed)
		next.terminate(open).status(423)
		close(end)
		next.waitForFinal(final)
	})
}

// A request whose final does not fit is answered before its partials are cleaned up:
// all builders may be busy.
func TestFinalThatDoesNotFitIsAnsweredAtOnce(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{}, func(v *tuning.Values) { v.BuildsAtOnce = 1 })
		small, large := e.createPartial([]byte("ab")), e.createPartial([]byte("cde"))
		other := e.another()
		stored, answered, done := make(chan struct{}), make(chan struct{}), make(chan *answer, 1)
		var attempts atomic.Int32
		store.onConcat = func(join func() error) error {
			if attempts.Add(1) > 1 { // of the other final
				await(t, answered)
				return join()
			}
			store.onPutSideRecord = func(key tusd.SideRecordKey) error {
				if key.Kind == "concat" {
					close(stored)
				}
				return nil
			}
			go func() { done <- other.postFinal(small) }()
			await(t, stored) // its builder waits for its turn
			return tusd.ErrNoSpace
		}
		e.postFinal(large).status(507)
		close(answered)
		(<-done).status(201)
	})
}

// A partial that was full may not be full any more: a request that is refused undoes the
// length that it has declared. Its bytes are not copied then, and its record names the
// final, so that the request which makes it full again wakes the builder.
func TestPartialThatIsNotFullAnyMoreIsNotCopied(t *testing.T) {
	store := &shrinkingStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	partial := e.create(3, "Upload-Concat: partial")
	store.full.Store(idOf(partial))
	e.postFinal(partial).status(201, 423)
	e.eventually("the partial names the final", func() bool { return len(recordOf(t, store.Memory, partial).Finals) == 1 })
	final := "/files/" + recordOf(t, store.Memory, partial).Finals[0]
	e.patch(partial, 0, []byte("abc")).status(204)
	e.waitForFinal(final)
	if a := e.get(final); string(a.Body) != "abc" || store.copiedIncomplete.Load() {
		t.Errorf("the final has %q; an incomplete partial was copied: %v", a.Body, store.copiedIncomplete.Load())
	}
}

// shrinkingStore shows a partial as full until it is loaded with a lease.
type shrinkingStore struct {
	*storetest.Memory
	full             atomic.Value // id of the partial
	copiedIncomplete atomic.Bool
}

func (s *shrinkingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	if err != nil || id != s.full.Load() || lease != nil && s.full.CompareAndSwap(id, "") {
		return upload, err
	}
	info, err := upload.GetInfo(ctx)
	info.Offset = info.Size
	return readUpload{upload, info}, err
}

func (s *shrinkingStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	for _, p := range partials {
		if info, err := p.GetInfo(ctx); err != nil || !info.Full() {
			s.copiedIncomplete.Store(true)
			return errors.New("a partial is not full")
		}
	}
	return s.Memory.Concat(ctx, final, partials)
}
