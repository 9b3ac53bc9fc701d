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
)

// The records of partials name the finals that need them. A final is removed from these
// records when it is built, fails or is terminated; before that its partials cannot be
// terminated.

// A final is removed from the records of all its partials, whatever ends it.
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
			removeFromStore(e.T, store.concatStore, open)
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
			removeFromStore(e.T, store.concatStore, final)
			e.patch(open, 0, nil, "Upload-Length: 0").status(204)
			e.head(final).status(404)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				e := serve(t, store, tusd.Config{MaxSize: 10})
				full, open := e.createPartial([]byte("ab")), e.createDeferred("Upload-Concat: partial")
				final := e.postNamedFinal(store, full, open)
				end(e, store, full, open, final)
				partials := []string{full}
				if e.head(open).Status != 404 {
					partials = append(partials, open)
				}
				if name == "lost" {
					partials = []string{open} // the final's record, which named the other, is gone
				}
				e.wantForgotten(store, partials...)
				for _, path := range []string{full, open} {
					if a := e.terminate(path); a.Status != 204 && a.Status != 404 {
						t.Errorf("DELETE of a partial: %d", a.Status)
					}
				}
			})
		})
	}
}

// A final may be lost while its builder works on it.
func TestFinalIsLostDuringItsBuild(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{})
		open := e.createDeferred("Upload-Concat: partial")
		var lost atomic.Bool
		store.onRead = func(string) { // the builder has looked at the partial for the last time
			finals := recordOf(t, store.concatStore, open).Finals
			if len(finals) == 0 || lost.Swap(true) {
				return
			}
			removeFromStore(t, store.concatStore, "/files/"+finals[0])
			e.another().patch(open, 0, nil, "Upload-Length: 0").status(204)
		}
		e.postFinal(open)
		e.wantForgotten(store, open)
		if !lost.Load() {
			t.Error("the final was not lost")
		}
	})
}

// The same, before a builder is free for it: the rescan starts it, which cannot read the
// partials from the record any more.
func TestFinalIsLostBeforeABuilderIsFree(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{}, setBuilders(1, 1, time.Millisecond), buildTimeout(time.Millisecond))
		open, full := e.createDeferred("Upload-Concat: partial"), e.createPartial([]byte("ab"))
		final := e.postFinal(open).status(201).location()
		e.eventually("the final is registered", func() bool { return finalsNamed(t, store.concatStore, open) == 1 })
		copying, free := make(chan struct{}), make(chan struct{})
		store.onConcat = func(join func() error) error {
			close(copying)
			await(t, free)
			return join()
		}
		e.eventually("the builder is free", func() bool { return e.postFinal(full).Status == 201 })
		await(t, copying)
		removeFromStore(t, store.concatStore, final)
		e.patch(open, 0, nil, "Upload-Length: 0").status(204)
		close(free)
		e.wantForgotten(store, open)
	})
}

// The same, while a copy fails: the records of the partials name the final only then.
func TestFinalIsLostDuringAFailedCopy(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{}, firstRetry(time.Millisecond))
		first, second := e.createPartial([]byte("ab")), e.createPartial([]byte("cd"))
		var final atomic.Value
		store.onCreate = func(info tusd.FileInfo) { final.Store("/files/" + info.ID) }
		var copies atomic.Int64
		store.onConcat = func(func() error) error {
			if copies.Add(1) == 2 {
				removeFromStore(t, store.concatStore, final.Load().(string))
			}
			return errors.New("the copy fails")
		}
		e.postFinal(first + " " + second)
		e.eventually("the final is lost", func() bool { return copies.Load() >= 2 })
		e.wantForgotten(store, first, second)
		if n := finalsNamed(t, store.concatStore, first, second); n != 0 { // the first look may have been too early
			t.Errorf("the partials name %d finals", n)
		}
	})
}

// The record of a locked partial is changed after it is unlocked, also by the next process.
func TestRemovedFinalLeavesABusyPartial(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restarts), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				e := serve(t, store, tusd.Config{})
				full, open := e.createPartial([]byte("ab")), e.create(4, "Upload-Concat: partial")
				final := e.postNamedFinal(store, full, open)
				patch := e.another().openNow(open, 0, -1)
				patch.sendAndSee([]byte("cd")) // the PATCH has the lock: the handler reads its body
				e.terminate(final).status(204)
				e.head(final).status(404)
				e.eventually("the partial that is free forgets it", func() bool { return finalsNamed(t, store.concatStore, full) == 0 })
				if n := finalsNamed(t, store.concatStore, open); n != 1 || sideRecords(t, store.concatStore, "building", "removed") == 0 {
					t.Fatalf("the busy partial names %d finals, %d side records", n, sideRecords(t, store.concatStore, "building", "removed"))
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
				e.wantForgotten(store, full, open)
			})
		})
	}
}

// The server crashes after the copy, before it changes the records of the partials.
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
				final.Store(e.postNamedFinal(store, full, open))
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
				e.wantForgotten(store, partials...)
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
		final := e.postNamedFinal(store, full, open)
		e.patch(open, 0, []byte("cde")).status(204)
		e.eventually("it is refused", func() bool { return e.head(final).Status == 400 })
		e.wantForgotten(store, full, open)
	})
}

// A final that is refused after its partials' records name it is removed from them. After its
// post-create event there is a post-terminate event.
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
		e.wantForgotten(store, full, open)
		e.stop()
		wantEvents(t, sub, tusd.EventPostReceive, tusd.EventPostCreate, tusd.EventPostTerminate)
	})
}

// A callback may choose the id of a terminated final while one of its partials is locked.
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
		e.postNamedFinal(store, open)
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
		e.wantForgotten(store, open)
		e.patch("/files/mine", 2, []byte("llo")).status(204)
		if a := e.get("/files/mine", version).status(200); string(a.Body) != "hello" {
			t.Errorf("content %q", a.Body)
		}
	})
}
