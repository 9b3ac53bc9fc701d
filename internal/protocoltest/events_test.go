package protocoltest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestEventsInOrder(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	sub := e.handler.Subscribe(100)
	path := e.create(10)
	e.patch(path, 0, []byte("hello")).status(204)
	e.patch(path, 5, []byte("world")).status(204)
	e.patch(path, 10, nil).status(204) // nothing happens any more
	e.terminate(path).status(204)
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	e.postFinal(partial).status(201)
	e.post("Upload-Length: 0").status(201)
	e.stop()

	var got []string
	for event := range sub.C {
		got = append(got, string(event.Type)+" "+strconv.FormatInt(event.Upload.Offset, 10))
	}
	want := []string{
		"post-create 0", "post-receive 5", "post-receive 10", "post-finish 10", "post-terminate 10",
		"post-create 0", "post-receive 2", // partial: no finish
		"post-create 0", "post-finish 2", // final
		"post-create 0", "post-finish 0", // empty
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
}

func TestSlowConsumerBlocksNothing(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	sub := e.handler.Subscribe(1)
	for range 5 {
		e.create(1)
	}
	if n := sub.Dropped(); n != 4 {
		t.Errorf("%d events dropped, want 4", n)
	}
}

func TestProgressWhileReceiving(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{ProgressInterval: time.Nanosecond})
	sub := e.handler.Subscribe(1000)
	path := e.create(100)
	<-sub.C
	patch := e.openNow(path, 0, -1)
	for i := int64(1); i <= 3; i++ {
		patch.send([]byte("ab"))
		if event := <-sub.C; event.Type != tusd.EventPostReceive || event.Upload.Offset != 2*i {
			t.Errorf("after %d bytes: %s at %d", 2*i, event.Type, event.Upload.Offset)
		}
	}
	patch.end()
	patch.answer()
}

// A client that sends something and falls silent is told of after the interval, once.
func TestProgressOfASilentClient(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{ProgressInterval: 300 * time.Millisecond})
	sub := e.handler.Subscribe(1000)
	path := e.create(100)
	<-sub.C
	patch := e.openNow(path, 0, -1)
	patch.send([]byte("abc")) // within the first interval
	if event := <-sub.C; event.Type != tusd.EventPostReceive || event.Upload.Offset != 3 || event.HTTPRequest.Method != "PATCH" {
		t.Errorf("%s at %d of %+v", event.Type, event.Upload.Offset, event.HTTPRequest)
	}
	patch.end()
	patch.answer().status(204)
	e.terminate(path).status(204)
	if event := <-sub.C; event.Type != tusd.EventPostTerminate {
		t.Errorf("then comes %s at %d", event.Type, event.Upload.Offset)
	}
}

// wantEvents checks the events until the handler is shut down: their types, and that they
// are of one upload.
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

// An upload that is removed after its post-create event has one post-terminate event,
// whatever removes it.
func TestRemovedUploadsHaveOneTerminateEvent(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		for name, remove := range map[string]func(t *testing.T, e *env, partial, open string){
			"no space": func(t *testing.T, e *env, partial, _ string) {
				store.onConcat = func(func() error) error { return tusd.ErrNoSpace }
				e.postFinal(partial).status(507)
			},
			"no space, requested twice": func(t *testing.T, e *env, partial, _ string) {
				read, again := make(chan struct{}), make(chan *answer, 1)
				var join, look sync.Once
				var joining atomic.Bool
				store.onRead = func(id string) {
					if joining.Load() && !strings.HasSuffix(partial, id) {
						look.Do(func() { close(read) })
					}
				}
				store.onConcat = func(func() error) error {
					join.Do(func() {
						joining.Store(true)
						go func() { again <- e.another().postFinal(partial) }()
						await(t, read)
					})
					return tusd.ErrNoSpace
				}
				e.postFinal(partial).status(507)
				(<-again).status(423)
			},
			"partial lost": func(t *testing.T, e *env, partial, open string) {
				store.onCreate = func(tusd.FileInfo) { removeFromStore(t, store.concatStore, open) }
				e.postFinal(partial + " " + open).status(404)
			},
			"no side record": func(t *testing.T, e *env, partial, _ string) {
				store.onPutSideRecord = func(key tusd.SideRecordKey) error { return errors.New("no") }
				e.postFinal(partial).status(500)
			},
			"removed, the answer of the store lost": func(t *testing.T, e *env, _, _ string) {
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
			"too long, in the IETF draft": func(t *testing.T, e *env, _, _ string) {
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
					remove(t, e, partial, open)
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
						t.Errorf("%d removals are counted, %d have events", n, len(ended))
					}
				})
			}
		}
	})
}
