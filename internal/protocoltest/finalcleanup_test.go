//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
	"github.com/tus/tusd/internal/wire"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// Finals that are over leave the records of their partials, however they ended
// and whatever came in between; until then the partials are kept for them.

// joiner is a store with all that finals need.
type joiner interface {
	tusd.DataStore
	tusd.Terminater
	tusd.Concater
	tusd.LengthDeferrer
	tusd.SideRecords
}

// hooked calls a test before or in place of what it does.
type hooked struct {
	joiner
	open       func() joiner
	creates    func(tusd.FileInfo)
	loads      func(id string) // for a change
	looks      func(id string) // for reading only, after it has
	joins      func(join func() error) error
	terminates func(terminate func() error) error
	puts       func(tusd.SideKey) error
	lists      func(kind string)
}

func (s *hooked) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if s.creates != nil {
		s.creates(info)
	}
	return s.joiner.NewUpload(ctx, lease, info)
}

func (s *hooked) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.loads != nil && lease != nil {
		s.loads(id)
	}
	upload, err := s.joiner.GetUpload(ctx, lease, id)
	if s.looks != nil && lease == nil {
		s.looks(id)
	}
	return upload, err
}

func (s *hooked) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	join := func() error { return s.joiner.Concat(ctx, final, partials) }
	if s.joins != nil {
		return s.joins(join)
	}
	return join()
}

func (s *hooked) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	terminate := func() error { return s.joiner.Terminate(ctx, lease, id) }
	if s.terminates != nil {
		return s.terminates(terminate)
	}
	return terminate()
}

func (s *hooked) PutSide(ctx context.Context, key tusd.SideKey, value []byte) error {
	if s.puts != nil {
		if err := s.puts(key); err != nil {
			return err
		}
	}
	return s.joiner.PutSide(ctx, key, value)
}

func (s *hooked) ListSides(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	if s.lists != nil {
		s.lists(kind)
	}
	return s.joiner.ListSides(ctx, kind, cursor, limit)
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(t *testing.T, store *hooked)) {
	for name, opener := range map[string]func(*testing.T) func() joiner{"memory": inMemory, "files": inFiles, "s3": inBucket} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &hooked{open: opener(t)}
			store.reopen()
			test(t, store)
		})
	}
}

// reopen is what a new process does.
func (s *hooked) reopen() {
	open := s.open
	*s = hooked{open: open, joiner: open()}
}

func inMemory(*testing.T) func() joiner {
	store := storetest.NewMemory()
	return func() joiner { return store }
}

func inFiles(t *testing.T) func() joiner {
	dir := t.TempDir()
	store := &filestore.FileStore{Path: dir}
	t.Cleanup(func() { store.Close() })
	return func() joiner {
		store.Close()
		store = &filestore.FileStore{Path: dir, Durability: filestore.None}
		return store
	}
}

func inBucket(t *testing.T) func() joiner {
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
	return func() joiner { return s3store.New(server.Bucket(), awsv1.New(server.Bucket(), s3.New(s))) }
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

// names is how many finals the records of partials name.
func names(t *testing.T, store tusd.DataStore, partials ...string) (n int) {
	t.Helper()
	for _, path := range partials {
		n += len(stored(t, store, path).Finals)
	}
	return n
}

// left counts the side records of finals, but those of repeated requests.
func left(t *testing.T, store *hooked) (n int) {
	t.Helper()
	for _, kind := range []string{"building", "removed"} {
		names, _, err := store.joiner.ListSides(t.Context(), kind, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		n += len(names)
	}
	return n
}

// wantLeft waits until no partial names a final and nothing is to be done.
func (l *life) wantLeft(store *hooked, partials ...string) {
	l.Helper()
	l.eventually("the final leaves its partials", func() bool { return names(l.T, store.joiner, partials...) == 0 })
	l.eventually("nothing is left to be done", func() bool { return left(l.T, store) == 0 })
}

// loseUpload removes an upload behind the server's back.
func loseUpload(t *testing.T, store *hooked, path string) {
	t.Helper()
	id := path[strings.LastIndex(path, "/")+1:]
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), id, tusd.LockTry)
	if err == nil {
		err = store.joiner.Terminate(t.Context(), lease, id)
	}
	if err != nil {
		t.Error(err)
	}
}

// spoil makes a partial of deferred length fail, in the IETF draft's way.
func (l *life) spoil(path string) {
	l.Helper()
	l.want(l.ietf("PATCH", path, "abc", "Upload-Offset", "0", "Upload-Complete", "?0", "Upload-Length", "2"), 413)
}

func (l *life) ietf(method, path, body string, header ...string) reply {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), method, l.server.URL+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Upload-Draft-Interop-Version", "9")
	if body != "" {
		r.Header.Set("Content-Type", "application/partial-upload")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := l.server.Client().Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	return reply{Response: res}
}

// deferred makes a partial of unknown length.
func (l *life) deferred() string {
	l.Helper()
	return pathOf(l.want(l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Defer-Length", "1"), 201))
}

// waiting is a final that both partials name.
func (l *life) waiting(store *hooked, partials ...string) (final string) {
	l.Helper()
	final = pathOf(l.want(l.post(strings.Join(partials, " ")), 201))
	l.eventually("the partials name the final", func() bool { return names(l.T, store.joiner, partials...) == len(partials) })
	return final
}

// Each way in which a final ends takes it out of all its partials' records.
func TestEndedFinalLeavesItsPartials(t *testing.T) {
	for name, end := range map[string]func(l *life, store *hooked, full, open, final string){
		"built": func(l *life, store *hooked, _, open, final string) {
			l.want(l.send("PATCH", open, "", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "2"), 204)
			l.want(l.patch(open, 0, "cd"), 204)
			l.eventually("it is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "4" })
		},
		"a partial has failed": func(l *life, store *hooked, _, open, final string) {
			l.spoil(open)
			l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
		},
		"a partial was removed after a day": func(l *life, store *hooked, _, open, final string) {
			l.later.Store(int64(25 * time.Hour))
			l.want(l.send("DELETE", open, ""), 204)
			l.want(l.head(final), 410)
		},
		"a partial is lost": func(l *life, store *hooked, _, open, final string) {
			loseUpload(l.T, store, open)
			l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
		},
		"too large": func(l *life, store *hooked, _, open, final string) {
			l.want(l.send("PATCH", open, "", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "9"), 204)
			l.want(l.patch(open, 0, "123456789"), 204)
			l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
		},
		"not built in a day": func(l *life, store *hooked, _, open, final string) {
			l.later.Store(int64(25 * time.Hour))
			store.joins = func(func() error) error { return errors.New("no") }
			l.want(l.send("PATCH", open, "", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "0"), 204)
			l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
		},
		"terminated": func(l *life, store *hooked, _, _, final string) {
			l.want(l.send("DELETE", final, ""), 204)
		},
		"terminated, in the IETF draft's way": func(l *life, store *hooked, _, _, final string) {
			l.want(l.ietf("DELETE", final, ""), 204)
		},
		"failed, then terminated": func(l *life, store *hooked, _, open, final string) {
			l.spoil(open)
			l.eventually("it has failed", func() bool { return l.head(final).StatusCode == 410 })
			l.want(l.send("DELETE", final, ""), 204)
		},
		"lost": func(l *life, store *hooked, _, open, final string) {
			loseUpload(l.T, store, final)
			l.want(l.send("PATCH", open, "", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "0"), 204)
			l.want(l.head(final), 404)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hooked) {
				l := liveOn(t, store, tusd.Config{MaxSize: 10})
				full, open := l.full("ab"), l.deferred()
				final := l.waiting(store, full, open)
				end(l, store, full, open, final)
				partials := []string{full}
				if l.head(open).StatusCode != 404 {
					partials = append(partials, open)
				}
				if name == "lost" {
					partials = []string{open} // of the other it cannot be known any more
				}
				l.wantLeft(store, partials...)
				for _, path := range []string{full, open} {
					if a := l.send("DELETE", path, ""); a.StatusCode != 204 && a.StatusCode != 404 {
						t.Errorf("DELETE of a partial: %d", a.StatusCode)
					}
				}
			})
		})
	}
}

// A partial that is in use is told when it is free, also by the next process.
func TestRemovedFinalLeavesABusyPartial(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restarts), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hooked) {
				l := liveOn(t, store, tusd.Config{})
				full, open := l.full("ab"), l.create(4, "Upload-Concat", "partial")
				final := l.waiting(store, full, open)
				entered := make(chan struct{})
				store.loads = func(id string) {
					if strings.HasSuffix(open, id) {
						select {
						case <-entered:
						default:
							close(entered)
						}
					}
				}
				feed, answered := l.stream(open, -1)
				await(t, entered)
				if _, err := feed.Write([]byte("cd")); err != nil {
					t.Fatal(err)
				}
				l.want(l.send("DELETE", final, ""), 204)
				l.want(l.head(final), 404)
				l.eventually("the partial that is free forgets it", func() bool { return names(t, store.joiner, full) == 0 })
				if n := names(t, store.joiner, open); n != 1 || left(t, store) == 0 {
					t.Fatalf("the busy partial names %d finals, %d side records", n, left(t, store))
				}
				if restarts {
					l.stop()
					store.reopen()
					l = liveOn(t, store, tusd.Config{})
				}
				feed.Close()
				<-answered
				l.wantLeft(store, full, open)
			})
		})
	}
}

// A crash after the copy, before the records of the partials were changed.
func TestJoinedFinalLeavesItsPartialsLater(t *testing.T) {
	for _, removes := range []bool{false, true} {
		t.Run(fmt.Sprintf("partial removed=%v", removes), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hooked) {
				joined, goOn := make(chan struct{}), make(chan struct{})
				store.joins = func(join func() error) error {
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
				store.loads = func(id string) {
					select {
					case <-joined:
						if path, ok := final.Load().(string); ok && strings.HasSuffix(path, id) {
							await(t, goOn)
						}
					default:
					}
				}
				l := liveOn(t, store, tusd.Config{})
				full, open := l.full("ab"), l.create(3, "Upload-Concat", "partial")
				final.Store(l.waiting(store, full, open))
				l.want(l.patch(open, 0, "cde"), 204)
				await(t, joined)
				partials := []string{full, open}
				if removes {
					l.eventually("the partial can be removed", func() bool { return l.send("DELETE", open, "").StatusCode == 204 })
					partials = partials[:1]
				}
				close(goOn)
				path := final.Load().(string)
				l.eventually("it is built", func() bool { return l.head(path).Header.Get("Upload-Offset") == "5" })
				if a := l.want(l.send("GET", path, ""), 200); a.body != "abcde" {
					t.Errorf("content %q", a.body)
				}
				l.wantLeft(store, partials...)
			})
		})
	}
}

func TestRefusedFinalLeavesNothing(t *testing.T) {
	onStores(t, func(t *testing.T, store *hooked) {
		l := liveOn(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
				return tusd.HTTPResponse{}, tusd.ErrUploadRejected
			},
		}})
		full, open := l.full("ab"), l.create(3, "Upload-Concat", "partial")
		final := l.waiting(store, full, open)
		l.want(l.patch(open, 0, "cde"), 204)
		l.eventually("it is refused", func() bool { return l.head(final).StatusCode == 400 })
		l.wantLeft(store, full, open)
	})
}

// A final that is discarded after its partials were told leaves them, too, and
// what was told of its creation is told of its end.
func TestDiscardedFinalLeavesItsPartials(t *testing.T) {
	onStores(t, func(t *testing.T, store *hooked) {
		l := liveOn(t, store, tusd.Config{})
		full, open := l.full("ab"), l.create(3, "Upload-Concat", "partial")
		sub := l.handler.Subscribe(100)
		store.joins = func(func() error) error { return tusd.ErrNoSpace }
		var once sync.Once
		store.loads = func(id string) {
			if strings.HasSuffix(full, id) { // its builder has seen that open is not full
				once.Do(func() { l.want(l.patch(open, 0, "cde"), 204) })
			}
		}
		l.want(l.post(full+" "+open), 507)
		l.wantLeft(store, full, open)
		l.stop()
		wantEvents(t, sub, tusd.EventPostReceive, tusd.EventPostCreate, tusd.EventPostTerminate)
	})
}

// wantEvents compares what was told until the handler was stopped. Events of one
// type are of one upload.
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

// overHTTP2 has the requests that follow come over HTTP/2.
func (l *life) overHTTP2() {
	l.server.Close()
	l.server = httptest.NewUnstartedServer(l.handler)
	wire.StartHTTP2(l.server)
}

// Each way in which an upload vanishes whose creation was told.
func TestVanishedUploadsAreTold(t *testing.T) {
	onStores(t, func(t *testing.T, store *hooked) {
		for name, vanish := range map[string]func(t *testing.T, l *life, partial, open string){
			"no room": func(t *testing.T, l *life, partial, _ string) {
				store.joins = func(func() error) error { return tusd.ErrNoSpace }
				l.want(l.post(partial), 507)
			},
			"no room, asked for twice": func(t *testing.T, l *life, partial, _ string) {
				looked, again := make(chan struct{}), make(chan reply, 1)
				var join, look sync.Once
				var joining atomic.Bool
				store.looks = func(id string) {
					if joining.Load() && !strings.HasSuffix(partial, id) {
						look.Do(func() { close(looked) })
					}
				}
				store.joins = func(func() error) error {
					join.Do(func() {
						joining.Store(true)
						go func() { again <- l.post(partial) }()
						await(t, looked)
					})
					return tusd.ErrNoSpace
				}
				l.want(l.post(partial), 507)
				l.want(<-again, 423)
			},
			"partial lost": func(t *testing.T, l *life, partial, open string) {
				store.creates = func(tusd.FileInfo) { loseUpload(t, store, open) }
				l.want(l.post(partial+" "+open), 404)
			},
			"no side record": func(t *testing.T, l *life, partial, _ string) {
				store.puts = func(key tusd.SideKey) error { return errors.New("no") }
				l.want(l.post(partial), 500)
			},
			"removed, the answer of the storage lost": func(t *testing.T, l *life, _, _ string) {
				path := l.create(3)
				store.terminates = func(terminate func() error) error { return errors.Join(terminate(), errors.New("no answer")) }
				l.want(l.send("DELETE", path, ""), 500)
				l.want(l.send("DELETE", path, ""), 404)
			},
			"removal that fails": func(t *testing.T, l *life, _, _ string) {
				path := l.create(3)
				store.terminates = func(terminate func() error) error { return errors.New("no") }
				l.want(l.send("DELETE", path, ""), 500)
				store.terminates = nil
				l.want(l.send("DELETE", path, ""), 204)
			},
			"content refused": func(t *testing.T, l *life, _, _ string) {
				r, err := http.NewRequestWithContext(t.Context(), "POST", l.server.URL+"/files/", struct{ io.Reader }{strings.NewReader("abcd")})
				if err != nil {
					t.Fatal(err)
				}
				for name, value := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Content-Type": "application/offset+octet-stream"} {
					r.Header.Set(name, value)
				}
				res, err := l.server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				a := l.want(reply{Response: res}, 413)
				l.want(l.head(pathOf(a)), 200) // it stays
				l.want(l.send("DELETE", pathOf(a), ""), 204)
			},
			"spoiled, in the IETF draft's way": func(t *testing.T, l *life, _, _ string) {
				a := l.want(l.ietf("POST", "/files/", "abc", "Upload-Complete", "?0", "Upload-Length", "3"), 201)
				path := pathOf(a)
				l.want(l.ietf("PATCH", path, "d", "Upload-Offset", "3", "Upload-Complete", "?0"), 413)
				l.want(l.head(path), 410) // it stays
				l.want(l.ietf("DELETE", path, ""), 204)
			},
		} {
			for _, http2 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, http2=%v", name, http2), func(t *testing.T) {
					store.reopen()
					l := liveOn(t, store, tusd.Config{})
					if http2 {
						l.overHTTP2()
					}
					partial, open := l.full("ab"), l.create(1, "Upload-Concat", "partial")
					sub := l.handler.Subscribe(100)
					vanish(t, l, partial, open)
					l.stop()
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
						if _, err := store.joiner.GetUpload(t.Context(), nil, id); errors.Is(err, tusd.ErrNotFound) {
							gone = true
						}
						if n != 1 || gone && ended[id] != 1 || !gone && ended[id] != 0 {
							t.Errorf("%d post-create, %d post-terminate of an upload; gone: %v", n, ended[id], gone)
						}
					}
					if len(ended) != 1 {
						t.Errorf("%d uploads have ended, want 1", len(ended))
					}
					if n := l.handler.Metrics().UploadsTerminated.Load(); n != uint64(len(ended)) {
						t.Errorf("%d removals are counted, %d were told", n, len(ended))
					}
				})
			}
		}
	})
}

// unjoined is a store in which finals of full partials stay because their clients
// were answered before it had no room. It counts the attempts.
func unjoined(t *testing.T, store *hooked) (answered chan struct{}, attempts *atomic.Int32, room *atomic.Bool) {
	answered, attempts, room = make(chan struct{}), new(atomic.Int32), new(atomic.Bool)
	store.joins = func(join func() error) error {
		await(t, answered)
		attempts.Add(1)
		if room.Load() {
			return join()
		}
		return tusd.ErrNoSpace
	}
	return answered, attempts, room
}

// often has finals tried again after short waits only.
func often(v *tuning.Values) { v.LastRebuildDelay = 20 * time.Millisecond }

// A partial is not let go by a restart while a final still needs it, though its
// record did not name the final while both were in one process.
func TestUnbuiltFinalKeepsItsPartialsOverARestart(t *testing.T) {
	onStores(t, func(t *testing.T, store *hooked) {
		answered, attempts, _ := unjoined(t, store)
		l := liveOn(t, store, tusd.Config{}, buildTimeout(time.Millisecond), often)
		one, two := l.full("ab"), l.full("cd")
		final := pathOf(l.want(l.post(one+" "+two), 201))
		close(answered)
		l.eventually("it was tried", func() bool { return attempts.Load() > 0 })
		l.stop()

		store.reopen()
		listing, listed := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		store.lists = func(kind string) { // the sweep of the start takes its time
			if kind == "building" && first.CompareAndSwap(false, true) {
				close(listing)
				await(t, listed)
			}
		}
		answered, attempts, room := unjoined(t, store)
		close(answered)
		l = liveOn(t, store, tusd.Config{}, often)
		await(t, listing)
		l.want(l.send("DELETE", one, ""), 423)
		close(listed)
		l.eventually("it was tried again", func() bool { return attempts.Load() > 1 })
		l.want(l.send("DELETE", one, ""), 423)
		l.eventually("the records name it", func() bool { return names(t, store.joiner, one, two) == 2 })
		room.Store(true)
		l.eventually("it is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "4" })
		l.wantLeft(store, one, two)
	})
}

// The record of a partial has a bounded size, however many finals need it. Those
// that it does not name are built, too.
func TestRecordNamesABoundedNumberOfFinals(t *testing.T) {
	const named, made = 64, 70
	store := &hooked{joiner: storetest.NewMemory()}
	answered, attempts, room := unjoined(t, store)
	l := liveOn(t, store, tusd.Config{}, buildTimeout(time.Millisecond), often)
	partial := l.full("ab")
	var finals []string
	for i := range made {
		finals = append(finals, pathOf(l.want(l.post(partial, "Upload-Metadata", fmt.Sprintf("n%d", i)), 201)))
	}
	close(answered)
	l.eventually("as many are named as may", func() bool { return names(t, store.joiner, partial) >= named })
	before := attempts.Load()
	l.eventually("all are tried again", func() bool { return attempts.Load() >= before+made })
	if n := names(t, store.joiner, partial); n != named {
		t.Errorf("the record names %d finals, want %d", n, named)
	}
	room.Store(true)
	for _, final := range finals {
		l.eventually("it is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "2" })
	}
	l.wantLeft(store, partial)
}

// An id that a callback chooses again, while a partial of the final that had it is
// in use, is an upload like any other.
func TestIDOfARemovedFinalIsFree(t *testing.T) {
	onStores(t, func(t *testing.T, store *hooked) {
		var id atomic.Value
		id.Store("")
		l := liveOn(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
				return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: id.Load().(string)}, nil
			},
		}})
		open := l.create(4, "Upload-Concat", "partial")
		id.Store("mine")
		l.waiting(store, open)
		entered := make(chan struct{})
		var once sync.Once
		store.loads = func(id string) {
			if strings.HasSuffix(open, id) {
				once.Do(func() { close(entered) })
			}
		}
		feed, answered := l.stream(open, 4)
		await(t, entered)
		l.want(l.send("DELETE", "/files/mine", ""), 204)
		l.create(5)
		l.want(l.patch("/files/mine", 0, "he"), 204)
		if a := l.want(l.head("/files/mine"), 200); a.Header.Get("Upload-Offset") != "2" {
			t.Errorf("offset %q", a.Header.Get("Upload-Offset"))
		}
		feed.Write([]byte("abcd"))
		feed.Close()
		if a := <-answered; a.StatusCode != 204 {
			t.Errorf("PATCH of the partial: %d", a.StatusCode)
		}
		l.wantLeft(store, open)
		l.want(l.patch("/files/mine", 2, "llo"), 204)
		if a := l.want(l.send("GET", "/files/mine", ""), 200); a.body != "hello" {
			t.Errorf("content %q", a.body)
		}
	})
}
