//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// The records of partials name the finals that need them. A final that ends, in
// whatever way, is removed from these records; until then its partials are kept.

// concatStore has all abilities of a store that finals need.
type concatStore interface {
	tusd.DataStore
	tusd.Terminater
	tusd.Concater
	tusd.LengthDeferrer
	tusd.SideRecords
}

// hookedStore calls functions of a test before or in place of its operations.
type hookedStore struct {
	concatStore
	open        func() concatStore
	onCreate    func(tusd.FileInfo)
	onLoad      func(id string) // with a lease
	onRead      func(id string) // without a lease, afterwards
	onConcat    func(join func() error) error
	onTerminate func(terminate func() error) error
	onPutSide   func(tusd.SideKey) error
	onListSides func(kind string)
}

func (s *hookedStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if s.onCreate != nil {
		s.onCreate(info)
	}
	return s.concatStore.NewUpload(ctx, lease, info)
}

func (s *hookedStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.onLoad != nil && lease != nil {
		s.onLoad(id)
	}
	upload, err := s.concatStore.GetUpload(ctx, lease, id)
	if s.onRead != nil && lease == nil {
		s.onRead(id)
	}
	return upload, err
}

func (s *hookedStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	join := func() error { return s.concatStore.Concat(ctx, final, partials) }
	if s.onConcat != nil {
		return s.onConcat(join)
	}
	return join()
}

func (s *hookedStore) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	terminate := func() error { return s.concatStore.Terminate(ctx, lease, id) }
	if s.onTerminate != nil {
		return s.onTerminate(terminate)
	}
	return terminate()
}

func (s *hookedStore) PutSide(ctx context.Context, key tusd.SideKey, value []byte) error {
	if s.onPutSide != nil {
		if err := s.onPutSide(key); err != nil {
			return err
		}
	}
	return s.concatStore.PutSide(ctx, key, value)
}

func (s *hookedStore) ListSides(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	if s.onListSides != nil {
		s.onListSides(kind)
	}
	return s.concatStore.ListSides(ctx, kind, cursor, limit)
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(t *testing.T, store *hookedStore)) {
	for name, opener := range map[string]func(*testing.T) func() concatStore{"memory": inMemory, "files": inFiles, "s3": inBucket} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &hookedStore{open: opener(t)}
			store.reopen()
			test(t, store)
		})
	}
}

// reopen is what a new process does.
func (s *hookedStore) reopen() {
	open := s.open
	*s = hookedStore{open: open, concatStore: open()}
}

func inMemory(*testing.T) func() concatStore {
	store := storetest.NewMemory()
	return func() concatStore { return store }
}

func inFiles(t *testing.T) func() concatStore {
	dir := t.TempDir()
	store := &filestore.FileStore{Path: dir}
	t.Cleanup(func() { store.Close() })
	return func() concatStore {
		store.Close()
		store = &filestore.FileStore{Path: dir, Durability: filestore.None}
		return store
	}
}

func inBucket(t *testing.T) func() concatStore {
	server := s3server.Start(t, s3server.Options{})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := session.NewSession(&aws.Config{
		Region: aws.String("us-east-1"), Endpoint: aws.String(server.URL), S3ForcePathStyle: aws.Bool(true),
		Credentials: credentials.NewStaticCredentials(server.AccessKey(), "secret", ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() concatStore { return s3store.New(server.Bucket(), awsv1.New(server.Bucket(), s3.New(s))) }
}

// await waits for a channel to be closed, but not longer than the test runs.
func await(t *testing.T, done <-chan struct{}) {
	select {
	case <-done:
	case <-t.Context().Done():
	case <-time.After(time.Minute):
		t.Error("not within a minute")
	}
}

// finalsNamed is how many finals the records of partials name.
func finalsNamed(t *testing.T, store tusd.DataStore, partials ...string) (n int) {
	t.Helper()
	for _, path := range partials {
		n += len(storedInfo(t, store, path).Finals)
	}
	return n
}

// sideRecordsLeft counts the side records of finals, but those of repeated requests.
func sideRecordsLeft(t *testing.T, store *hookedStore) (n int) {
	t.Helper()
	for _, kind := range []string{"building", "removed"} {
		names, _, err := store.concatStore.ListSides(t.Context(), kind, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		n += len(names)
	}
	return n
}

// wantLeft waits until no partial names a final and no side record is left.
func (e *env) wantLeft(store *hookedStore, partials ...string) {
	e.Helper()
	e.eventually("the final leaves its partials", func() bool { return finalsNamed(e.T, store.concatStore, partials...) == 0 })
	e.eventually("nothing is left to be done", func() bool { return sideRecordsLeft(e.T, store) == 0 })
}

// loseUpload removes an upload behind the server's back.
func loseUpload(t *testing.T, store *hookedStore, path string) {
	t.Helper()
	id := path[strings.LastIndex(path, "/")+1:]
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), id, tusd.LockTry)
	if err == nil {
		err = store.concatStore.Terminate(t.Context(), lease, id)
	}
	if err != nil {
		t.Error(err)
	}
}

// failPartial makes a partial of deferred length fail: the IETF draft lets it exceed its length.
func (e *env) failPartial(path string) {
	e.Helper()
	e.ietf(9).append(path, 0, false, []byte("abc"), "Upload-Length: 2").status(413)
}

// awaitNamed is a final that both partials name.
func (e *env) awaitNamed(store *hookedStore, partials ...string) (final string) {
	e.Helper()
	final = e.postFinal(strings.Join(partials, " ")).status(201).location()
	e.eventually("the partials name the final", func() bool { return finalsNamed(e.T, store.concatStore, partials...) == len(partials) })
	return final
}

// A final is removed from the records of all its partials, in whichever way it ends.
func TestEndedFinalLeavesItsPartials(t *testing.T) {
	for name, end := range map[string]func(e *env, store *hookedStore, full, open, final string){
		"built": func(e *env, store *hookedStore, _, open, final string) {
			e.patch(open, 0, nil, "Upload-Length: 2").status(204)
			e.patch(open, 0, []byte("cd")).status(204)
			e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "4" })
		},
		"a partial has failed": func(e *env, store *hookedStore, _, open, final string) {
			e.failPartial(open)
			e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
		},
		"a partial was removed after a day": func(e *env, store *hookedStore, _, open, final string) {
			e.ahead.Store(int64(25 * time.Hour))
			e.eventually("the partial can be removed", func() bool { return e.terminate(open).Status == 204 }) // 423 while the final is locked
			e.head(final).status(410)
		},
		"a partial is lost": func(e *env, store *hookedStore, _, open, final string) {
			loseUpload(e.T, store, open)
			e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
		},
		"too large": func(e *env, store *hookedStore, _, open, final string) {
			e.patch(open, 0, nil, "Upload-Length: 9").status(204)
			e.patch(open, 0, []byte("123456789")).status(204)
			e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
		},
		"not built in a day": func(e *env, store *hookedStore, _, open, final string) {
			e.ahead.Store(int64(25 * time.Hour))
			store.onConcat = func(func() error) error { return errors.New("no") }
			e.patch(open, 0, nil, "Upload-Length: 0").status(204)
			e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
		},
		"terminated": func(e *env, store *hookedStore, _, _, final string) {
			e.terminate(final).status(204)
		},
		"terminated, in the IETF draft's way": func(e *env, store *hookedStore, _, _, final string) {
			e.ietf(9).cancel(final).status(204)
		},
		"failed, then terminated": func(e *env, store *hookedStore, _, open, final string) {
			e.failPartial(open)
			e.eventually("it has failed", func() bool { return e.head(final).Status == 410 })
			e.terminate(final).status(204)
		},
		"lost": func(e *env, store *hookedStore, _, open, final string) {
			loseUpload(e.T, store, final)
			e.patch(open, 0, nil, "Upload-Length: 0").status(204)
			e.head(final).status(404)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				e := serve(t, store, tusd.Config{MaxSize: 10})
				full, open := e.createPartial([]byte("ab")), e.createDeferred("Upload-Concat: partial")
				final := e.awaitNamed(store, full, open)
				end(e, store, full, open, final)
				partials := []string{full}
				if e.head(open).Status != 404 {
					partials = append(partials, open)
				}
				if name == "lost" {
					partials = []string{open} // the final's record, which named the other, is gone
				}
				e.wantLeft(store, partials...)
				for _, path := range []string{full, open} {
					if a := e.terminate(path); a.Status != 204 && a.Status != 404 {
						t.Errorf("DELETE of a partial: %d", a.Status)
					}
				}
			})
		})
	}
}

// The record of a partial that is locked is changed when the lock is free, also by the
// next process.
func TestRemovedFinalLeavesABusyPartial(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restarts), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				e := serve(t, store, tusd.Config{})
				full, open := e.createPartial([]byte("ab")), e.create(4, "Upload-Concat: partial")
				final := e.awaitNamed(store, full, open)
				patch := e.another().openNow(open, 0, -1)
				patch.sendAndSee([]byte("cd")) // the PATCH has the lock: the handler reads its body
				e.terminate(final).status(204)
				e.head(final).status(404)
				e.eventually("the partial that is free forgets it", func() bool { return finalsNamed(t, store.concatStore, full) == 0 })
				if n := finalsNamed(t, store.concatStore, open); n != 1 || sideRecordsLeft(t, store) == 0 {
					t.Fatalf("the busy partial names %d finals, %d side records", n, sideRecordsLeft(t, store))
				}
				if restarts {
					e.stop()
					store.reopen()
					e = serve(t, store, tusd.Config{})
				}
				if !restarts {
					patch.end()
					patch.answer()
				}
				e.wantLeft(store, full, open)
			})
		})
	}
}

// A crash after the copy, before the records of the partials were changed.
func TestJoinedFinalLeavesItsPartialsLater(t *testing.T) {
	for _, removes := range []bool{false, true} {
		t.Run(fmt.Sprintf("partial removed=%v", removes), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				joined, goOn := make(chan struct{}), make(chan struct{})
				store.onConcat = func(join func() error) error {
					err := join()
					select {
					case <-joined:
						return err
					default:
						close(joined)
						return errors.Join(err, errors.New("the process died"))
					}
				}
				var final atomic.Value
				store.onLoad = func(id string) {
					select {
					case <-joined:
						if path, ok := final.Load().(string); ok && strings.HasSuffix(path, id) {
							await(t, goOn)
						}
					default:
					}
				}
				e := serve(t, store, tusd.Config{})
				full, open := e.createPartial([]byte("ab")), e.create(3, "Upload-Concat: partial")
				final.Store(e.awaitNamed(store, full, open))
				e.patch(open, 0, []byte("cde")).status(204)
				await(t, joined)
				partials := []string{full, open}
				if removes {
					e.eventually("the partial can be removed", func() bool { return e.terminate(open).Status == 204 })
					partials = partials[:1]
				}
				close(goOn)
				path := final.Load().(string)
				e.eventually("it is built", func() bool { return e.head(path).Header.Get("Upload-Offset") == "5" })
				if a := e.get(path, version).status(200); string(a.Body) != "abcde" {
					t.Errorf("content %q", a.Body)
				}
				e.wantLeft(store, partials...)
			})
		})
	}
}

func TestRefusedFinalLeavesNothing(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
				return tusd.HTTPResponse{}, tusd.ErrUploadRejected
			},
		}})
		full, open := e.createPartial([]byte("ab")), e.create(3, "Upload-Concat: partial")
		final := e.awaitNamed(store, full, open)
		e.patch(open, 0, []byte("cde")).status(204)
		e.eventually("it is refused", func() bool { return e.head(final).Status == 400 })
		e.wantLeft(store, full, open)
	})
}

// A final that is discarded after its partials' records name it is removed from them,
// too. A post-create event is followed by a post-terminate event.
func TestDiscardedFinalLeavesItsPartials(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{})
		full, open := e.createPartial([]byte("ab")), e.create(3, "Upload-Concat: partial")
		sub := e.handler.Subscribe(100)
		store.onConcat = func(func() error) error { return tusd.ErrNoSpace }
		var once sync.Once
		store.onLoad = func(id string) {
			if strings.HasSuffix(full, id) { // its builder has seen that open is not full
				once.Do(func() { e.another().patch(open, 0, []byte("cde")).status(204) })
			}
		}
		e.postFinal(full + " " + open).status(507)
		e.wantLeft(store, full, open)
		e.stop()
		wantEvents(t, sub, tusd.EventPostReceive, tusd.EventPostCreate, tusd.EventPostTerminate)
	})
}

// wantEvents checks the events until the handler was stopped: their types, and that
// they are of one upload.
func wantEvents(t *testing.T, sub *tusd.Subscription, want ...tusd.EventType) {
	t.Helper()
	var got []tusd.EventType
	var final []string
	for event := range sub.C {
		got = append(got, event.Type)
		if event.Type == tusd.EventPostCreate || event.Type == tusd.EventPostTerminate {
			final = append(final, event.Upload.ID)
		}
	}
	slices.Sort(want)
	order := slices.DeleteFunc(slices.Clone(got), func(e tusd.EventType) bool { return e == tusd.EventPostReceive })
	if !slices.IsSorted(order) { // post-create, post-finish, post-terminate
		t.Errorf("events %q are not in order", got)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if len(slices.Compact(final)) != 1 {
		t.Errorf("the events are of uploads %q, want one", final)
	}
}

// An upload that vanishes after its post-create event has one post-terminate event, in
// whichever way it vanishes.
func TestVanishedUploadsAreTold(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		for name, vanish := range map[string]func(t *testing.T, e *env, partial, open string){
			"no room": func(t *testing.T, e *env, partial, _ string) {
				store.onConcat = func(func() error) error { return tusd.ErrNoSpace }
				e.postFinal(partial).status(507)
			},
			"no room, asked for twice": func(t *testing.T, e *env, partial, _ string) {
				looked, again := make(chan struct{}), make(chan *answer, 1)
				var join, look sync.Once
				var joining atomic.Bool
				store.onRead = func(id string) {
					if joining.Load() && !strings.HasSuffix(partial, id) {
						look.Do(func() { close(looked) })
					}
				}
				store.onConcat = func(func() error) error {
					join.Do(func() {
						joining.Store(true)
						go func() { again <- e.another().postFinal(partial) }()
						await(t, looked)
					})
					return tusd.ErrNoSpace
				}
				e.postFinal(partial).status(507)
				(<-again).status(423)
			},
			"partial lost": func(t *testing.T, e *env, partial, open string) {
				store.onCreate = func(tusd.FileInfo) { loseUpload(t, store, open) }
				e.postFinal(partial + " " + open).status(404)
			},
			"no side record": func(t *testing.T, e *env, partial, _ string) {
				store.onPutSide = func(key tusd.SideKey) error { return errors.New("no") }
				e.postFinal(partial).status(500)
			},
			"removed, the answer of the storage lost": func(t *testing.T, e *env, _, _ string) {
				path := e.create(3)
				store.onTerminate = func(terminate func() error) error { return errors.Join(terminate(), errors.New("no answer")) }
				e.terminate(path).status(500)
				e.terminate(path).status(404)
			},
			"removal that fails": func(t *testing.T, e *env, _, _ string) {
				path := e.create(3)
				store.onTerminate = func(terminate func() error) error { return errors.New("no") }
				e.terminate(path).status(500)
				store.onTerminate = nil
				e.terminate(path).status(204)
			},
			"content refused": func(t *testing.T, e *env, _, _ string) {
				a := e.postWith([]byte("abcd"), "Upload-Length: 3", chunked).status(413)
				e.head(a.location()).status(200) // it stays
				e.terminate(a.location()).status(204)
			},
			"spoiled, in the IETF draft's way": func(t *testing.T, e *env, _, _ string) {
				path := e.ietf(9).create(false, []byte("abc"), "Upload-Length: 3").status(201).location()
				e.ietf(9).append(path, 3, false, []byte("d")).status(413)
				e.head(path).status(410) // it stays
				e.ietf(9).cancel(path).status(204)
			},
		} {
			for _, http2 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, http2=%v", name, http2), func(t *testing.T) {
					store.reopen()
					e := newEnvOn(t, store, tusd.Config{})
					if http2 {
						e.protocol = protocols[1]
					}
					e.start()
					partial, open := e.createPartial([]byte("ab")), e.create(1, "Upload-Concat: partial")
					sub := e.handler.Subscribe(100)
					vanish(t, e, partial, open)
					e.stop()
					created, ended := map[string]int{}, map[string]int{}
					for event := range sub.C {
						switch event.Type {
						case tusd.EventPostCreate:
							created[event.Upload.ID]++
						case tusd.EventPostTerminate:
							if created[event.Upload.ID] == 0 {
								t.Error("post-terminate without or before post-create")
							}
							ended[event.Upload.ID]++
						}
					}
					for id, n := range created {
						gone := false
						if _, err := store.concatStore.GetUpload(t.Context(), nil, id); errors.Is(err, tusd.ErrNotFound) {
							gone = true
						}
						if n != 1 || gone && ended[id] != 1 || !gone && ended[id] != 0 {
							t.Errorf("%d post-create, %d post-terminate of an upload; gone: %v", n, ended[id], gone)
						}
					}
					if len(ended) != 1 {
						t.Errorf("%d uploads have ended, want 1", len(ended))
					}
					if n := e.handler.Metrics().UploadsTerminated.Load(); n != uint64(len(ended)) {
						t.Errorf("%d removals are counted, %d were told", n, len(ended))
					}
				})
			}
		}
	})
}

// keepFinalsUnbuilt makes building fail after answered is closed, until room is set: by then
// the finals are acknowledged. It counts the attempts.
func keepFinalsUnbuilt(t *testing.T, store *hookedStore) (answered chan struct{}, attempts *atomic.Int32, room *atomic.Bool) {
	answered, attempts, room = make(chan struct{}), new(atomic.Int32), new(atomic.Bool)
	store.onConcat = func(join func() error) error {
		await(t, answered)
		attempts.Add(1)
		if room.Load() {
			return join()
		}
		return tusd.ErrNoSpace
	}
	return answered, attempts, room
}

// retryOften keeps the delays between attempts to build short.
func retryOften(v *tuning.Values) { v.LastRebuildDelay = 20 * time.Millisecond }

// After a restart, too, a partial cannot be removed while a final needs it, even if its
// record did not name the final while one process knew both.
func TestUnbuiltFinalKeepsItsPartialsOverARestart(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		answered, attempts, _ := keepFinalsUnbuilt(t, store)
		e := serve(t, store, tusd.Config{}, buildTimeout(time.Millisecond), retryOften)
		one, two := e.createPartial([]byte("ab")), e.createPartial([]byte("cd"))
		final := e.postFinal(one + " " + two).status(201).location()
		close(answered)
		e.eventually("it was tried", func() bool { return attempts.Load() > 0 })
		e.stop()

		store.reopen()
		listing, listed := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		store.onListSides = func(kind string) { // the sweep of the start takes its time
			if kind == "building" && first.CompareAndSwap(false, true) {
				close(listing)
				await(t, listed)
			}
		}
		answered, attempts, room := keepFinalsUnbuilt(t, store)
		close(answered)
		e = serve(t, store, tusd.Config{}, retryOften)
		await(t, listing)
		e.terminate(one).status(423)
		close(listed)
		e.eventually("it was tried again", func() bool { return attempts.Load() > 1 })
		e.terminate(one).status(423)
		e.eventually("the records name it", func() bool { return finalsNamed(t, store.concatStore, one, two) == 2 })
		room.Store(true)
		e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "4" })
		e.wantLeft(store, one, two)
	})
}

// The record of a partial has a bounded size, however many finals need it. Those
// that it does not name are built, too.
func TestRecordNamesABoundedNumberOfFinals(t *testing.T) {
	const named, made = 64, 70
	store := &hookedStore{concatStore: storetest.NewMemory()}
	answered, attempts, room := keepFinalsUnbuilt(t, store)
	e := serve(t, store, tusd.Config{}, buildTimeout(time.Millisecond), retryOften)
	partial := e.createPartial([]byte("ab"))
	var finals []string
	for i := range made {
		finals = append(finals, e.postFinal(partial, fmt.Sprintf("Upload-Metadata: n%d", i)).status(201).location())
	}
	close(answered)
	e.eventually("as many are named as may", func() bool { return finalsNamed(t, store.concatStore, partial) >= named })
	before := attempts.Load()
	e.eventually("all are tried again", func() bool { return attempts.Load() >= before+made })
	if n := finalsNamed(t, store.concatStore, partial); n != named {
		t.Errorf("the record names %d finals, want %d", n, named)
	}
	room.Store(true)
	for _, final := range finals {
		e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "2" })
	}
	e.wantLeft(store, partial)
}

// An id that a callback chooses again, while a partial of the final that had it is
// in use, is an upload like any other.
func TestIDOfARemovedFinalIsFree(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var id atomic.Value
		id.Store("")
		e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
				return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: id.Load().(string)}, nil
			},
		}})
		open := e.create(4, "Upload-Concat: partial")
		id.Store("mine")
		e.awaitNamed(store, open)
		patch := e.another().openNow(open, 0, 4)
		patch.sendAndSee([]byte("ab")) // the PATCH has the lock: the handler reads its body
		e.terminate("/files/mine").status(204)
		e.create(5)
		e.patch("/files/mine", 0, []byte("he")).status(204)
		if a := e.head("/files/mine").status(200); a.Header.Get("Upload-Offset") != "2" {
			t.Errorf("offset %q", a.Header.Get("Upload-Offset"))
		}
		patch.send([]byte("cd"))
		patch.end()
		patch.answer().status(204)
		e.wantLeft(store, open)
		e.patch("/files/mine", 2, []byte("llo")).status(204)
		if a := e.get("/files/mine", version).status(200); string(a.Body) != "hello" {
			t.Errorf("content %q", a.Body)
		}
	})
}
