package protocoltest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// Scenarios of what happens around the protocol: callbacks, events, finishing,
// finals that take their time, shutdown.

// life is a handler with its store and server.
type life struct {
	*testing.T
	handler *tusd.Handler
	server  *httptest.Server
	later   atomic.Int64 // how far the handler's clock is ahead
}

// live starts a handler on store.
func live(t *testing.T, store *storetest.Memory, callbacks tusd.Callbacks) *life {
	t.Helper()
	return liveOn(t, store, tusd.Config{Callbacks: callbacks})
}

// liveOn is live on any store, with a config to start from and changed values.
func liveOn(t *testing.T, store tusd.DataStore, config tusd.Config, changes ...func(*tuning.Values)) *life {
	t.Helper()
	config.StoreComposer = tusd.NewStoreComposer()
	config.StoreComposer.UseCore(store)
	config.BasePath, config.Logger, config.AcquireLockTimeout = "/files/", slog.New(slog.DiscardHandler), 2*time.Second
	l := &life{T: t}
	var err error
	l.handler, err = newTunedHandler(config, func(v *tuning.Values) {
		v.FirstRetryDelay = 10 * time.Millisecond
		v.Now = func() time.Time { return time.Now().Add(time.Duration(l.later.Load())) }
		for _, change := range changes {
			change(v)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	l.server = httptest.NewServer(l.handler)
	t.Cleanup(l.stop)
	return l
}

// stop ends server and handler. Idempotent.
func (l *life) stop() {
	l.server.CloseClientConnections()
	l.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.handler.Shutdown(ctx); err != nil {
		l.Errorf("shutdown: %v", err)
	}
}

// reply is a response with its body read.
type reply struct {
	*http.Response
	body string
}

// send makes a request; path may be a URL.
func (l *life) send(method, path, body string, header ...string) reply {
	l.Helper()
	if strings.HasPrefix(path, "/") {
		path = l.server.URL + path
	}
	r, err := http.NewRequestWithContext(l.Context(), method, path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := l.server.Client().Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		l.Fatal(err)
	}
	return reply{res, string(content)}
}

// want checks a status.
func (l *life) want(a reply, status int) reply {
	l.Helper()
	if a.StatusCode != status {
		l.Fatalf("%s %s: status %d, want %d (%s)", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, strings.TrimSpace(a.body))
	}
	return a
}

// create makes an upload and returns its path.
func (l *life) create(length int, header ...string) string {
	l.Helper()
	a := l.want(l.send("POST", "/files/", "", append(header, "Upload-Length", strconv.Itoa(length))...), 201)
	return strings.TrimPrefix(a.Header.Get("Location"), l.server.URL)
}

func (l *life) patch(path string, offset int, body string) reply {
	l.Helper()
	return l.send("PATCH", path, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset))
}

// stream begins a PATCH at offset 0 whose body is what is written to feed. Its
// answer comes on answered, nothing if the connection ends without one.
func (l *life) stream(path string, length int64) (feed *io.PipeWriter, answered <-chan reply) {
	l.Helper()
	body, feed := io.Pipe()
	r, err := http.NewRequestWithContext(l.Context(), "PATCH", l.server.URL+path, body)
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Offset", "0")
	r.Header.Set("Content-Type", "application/offset+octet-stream")
	r.ContentLength = length
	answers := make(chan reply, 1)
	go func() {
		defer close(answers)
		if res, err := http.DefaultClient.Do(r); err == nil {
			content, _ := io.ReadAll(res.Body)
			res.Body.Close()
			answers <- reply{res, string(content)}
		}
	}()
	return feed, answers
}

func (l *life) head(path string) reply {
	l.Helper()
	return l.send("HEAD", path, "")
}

// eventually polls until ok.
func (l *life) eventually(what string, ok func() bool) {
	l.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			l.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestPreCreateChangesTheUpload(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{
		PreCreate: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			if event.Upload.Size != 5 || event.Upload.ID != "" || event.HTTPRequest.Method != "POST" || event.HTTPRequest.URI != "/files/" {
				t.Errorf("the callback saw %+v", event)
			}
			return tusd.HTTPResponse{Header: map[string]string{"X-Mine": "1"}},
				tusd.FileInfoChanges{ID: "team/a+b%2F", MetaData: tusd.MetaData{"by": "hook"}}, nil
		},
	})
	a := l.want(l.send("POST", "/files/", "", "Upload-Length", "5", "Upload-Metadata", "by Y2xpZW50"), 201)
	if location := a.Header.Get("Location"); !strings.HasSuffix(location, "/files/team/a+b%252F") || a.Header.Get("X-Mine") != "1" {
		t.Fatalf("Location %q, X-Mine %q", location, a.Header.Get("X-Mine"))
	}
	if got := l.want(l.head(a.Header.Get("Location")), 200).Header.Get("Upload-Metadata"); got != "by aG9vaw==" {
		t.Errorf("Upload-Metadata %q, want the hook's", got)
	}
}

func TestPreCreateRefuses(t *testing.T) {
	var failWith error
	var id string
	l := live(t, storetest.NewMemory(), tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: id}, failWith
		},
	})
	post := func() reply { return l.send("POST", "/files/", "", "Upload-Length", "5") }

	failWith = tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 402, Body: "pay first", Header: map[string]string{"X-Price": "1"}})
	if a := l.want(post(), 402); a.body != "pay first" || a.Header.Get("X-Price") != "1" || a.Header.Get("Location") != "" {
		t.Errorf("refusal with own answer: %q, %v", a.body, a.Header)
	}
	failWith = tusd.ErrUploadRejected
	if a := l.want(post(), 400); !strings.HasPrefix(a.body, "ERR_UPLOAD_REJECTED: ") {
		t.Errorf("plain refusal: %q", a.body)
	}
	failWith = errors.New("hook server secret-host out of reach")
	if a := l.want(post(), 500); a.Header.Get("Retry-After") == "" || strings.Contains(a.body, "secret-host") {
		t.Errorf("hook failure: %q, Retry-After %q", a.body, a.Header.Get("Retry-After"))
	}
	for _, id = range []string{"../etc/passwd", "a.info", ".tusd.locks", "a//b", "ä", strings.Repeat("x", 241)} {
		failWith = nil
		if a := l.want(post(), 400); !strings.HasPrefix(a.body, "ERR_INVALID_UPLOAD_NAME: ") || strings.Contains(a.body, id) || a.Header.Get("Retry-After") != "" {
			t.Errorf("an id that cannot be: %q, Retry-After %q", a.body, a.Header.Get("Retry-After"))
		}
	}
	failWith, id = nil, "taken"
	l.want(post(), 201)
	if a := l.want(post(), 409); !strings.HasPrefix(a.body, "ERR_UPLOAD_EXISTS: ") {
		t.Errorf("an id that exists: %q", a.body)
	}
}

func TestPreAccessGuardsEveryRequest(t *testing.T) {
	var deny atomic.Bool
	var asked []string
	l := live(t, storetest.NewMemory(), tusd.Callbacks{
		PreAccess: func(_ context.Context, event tusd.Event) error {
			asked = append(asked, event.HTTPRequest.Method)
			if deny.Load() {
				return tusd.ErrAccessDenied
			}
			return nil
		},
	})
	path := l.create(5, "Upload-Concat", "partial")
	l.want(l.patch(path, 0, "hello"), 204)
	deny.Store(true)
	l.want(l.head(path), 403)
	l.want(l.patch(path, 5, ""), 403)
	l.want(l.send("GET", path, ""), 403)
	l.want(l.send("DELETE", path, ""), 403)
	l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+path), 403)
	l.want(l.send("HEAD", "/files/unknown", ""), 403)
	if want := []string{"PATCH", "HEAD", "PATCH", "GET", "DELETE", "POST", "HEAD"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestPreTerminateRefuses(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrTerminationRejected
		},
	})
	path := l.create(5)
	l.want(l.send("DELETE", path, ""), 400)
	l.want(l.head(path), 200)
}

func TestPreFinishIsTriedAgain(t *testing.T) {
	store := storetest.NewMemory()
	var attempts atomic.Int32
	release := make(chan struct{})
	l := live(t, store, tusd.Callbacks{
		PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
			if !event.Upload.Full() {
				t.Errorf("asked about an upload at %d of %d", event.Upload.Offset, event.Upload.Size)
			}
			if attempts.Add(1) > 1 {
				<-release
				return tusd.HTTPResponse{}, nil
			}
			return tusd.HTTPResponse{}, errors.New("not now")
		},
	})
	path := l.create(5)
	if a := l.want(l.patch(path, 0, "hello"), 503); a.Header.Get("Retry-After") == "" || !strings.HasPrefix(a.body, "ERR_FINISH_FAILED: ") {
		t.Errorf("first attempt: %q", a.body)
	}
	if a := l.want(l.head(path), 423); a.Header.Get("Retry-After") == "" || a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while finishing: %v", a.Header)
	}
	l.want(l.patch(path, 5, ""), 423)
	l.want(l.send("GET", path, ""), 503)
	close(release)
	l.eventually("HEAD is 200", func() bool { return l.head(path).StatusCode == 200 })
	l.want(l.patch(path, 5, ""), 204)
	if n := attempts.Load(); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	if names, _, err := store.ListSides(t.Context(), "finishing", "", 10); err != nil || len(names) != 0 {
		t.Errorf("side records left: %v, %v", names, err)
	}
}

func TestPreFinishRefusalIsKept(t *testing.T) {
	store := storetest.NewMemory()
	callbacks := tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 422, Body: "virus", Header: map[string]string{"X-Why": "scan"}})
		},
	}
	l := live(t, store, callbacks)
	path := l.create(5)
	check := func(a reply) {
		t.Helper()
		l.want(a, 422)
		if a.Header.Get("X-Why") != "scan" || a.Request.Method != "HEAD" && a.body != "virus" {
			t.Errorf("%s: %q %v", a.Request.Method, a.body, a.Header)
		}
	}
	check(l.patch(path, 0, "hello"))
	l.stop()
	l = live(t, store, tusd.Callbacks{}) // the answer is with the upload, not with the callback
	check(l.head(path))
	check(l.patch(path, 5, ""))
	check(l.send("GET", path, ""))
	l.want(l.send("DELETE", path, ""), 204)
	l.want(l.head(path), 404)
}

func TestFinishingOutlivesTheClientAndTheServer(t *testing.T) {
	store := storetest.NewMemory()
	asked, answer := make(chan struct{}, 1), make(chan error)
	l := live(t, store, tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			asked <- struct{}{}
			return tusd.HTTPResponse{}, <-answer
		},
	})
	path := l.create(5)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, _ := http.NewRequestWithContext(ctx, "PATCH", l.server.URL+path, strings.NewReader("hello"))
		r.Header.Set("Tus-Resumable", "1.0.0")
		r.Header.Set("Upload-Offset", "0")
		r.Header.Set("Content-Type", "application/offset+octet-stream")
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
		}
	}()
	<-asked
	leave()
	<-gone
	answer <- errors.New("the machine is about to stop") // the first server gives up on it
	<-asked                                              // tries again
	go func() { answer <- errors.New("still") }()
	l.stop()

	var finished atomic.Int32
	second := live(t, store, tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			finished.Add(1)
			return tusd.HTTPResponse{}, nil
		},
	})
	// No request wakes it: the side record does.
	second.eventually("the next server finishes it", func() bool { return finished.Load() == 1 })
	second.eventually("HEAD is 200", func() bool { return second.head(path).StatusCode == 200 })
	if n := finished.Load(); n != 1 {
		t.Errorf("finished %d times", n)
	}
}

func TestFullButUnfinishedIsWokenByAnyRequest(t *testing.T) {
	store := storetest.NewMemory()
	store.UseIn(tusd.NewStoreComposer())
	first := live(t, store, tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, errors.New("never here")
	}})
	path := first.create(5)
	first.want(first.patch(path, 0, "hello"), 503)
	first.stop()
	names, _, err := store.ListSides(t.Context(), "finishing", "", 10)
	if err != nil || len(names) != 1 {
		t.Fatalf("side records: %v, %v", names, err)
	}
	if err := store.DeleteSide(t.Context(), tusd.SideKey{Kind: "finishing", Name: names[0]}); err != nil { // as if it crashed before
		t.Fatal(err)
	}
	second := live(t, store, tusd.Callbacks{})
	second.want(second.head(path), 423)
	second.eventually("HEAD is 200", func() bool { return second.head(path).StatusCode == 200 })
}

func TestEventsInOrder(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	sub := l.handler.Subscribe(100)
	path := l.create(10)
	l.want(l.patch(path, 0, "hello"), 204)
	l.want(l.patch(path, 5, "world"), 204)
	l.want(l.patch(path, 10, ""), 204) // nothing happens any more
	l.want(l.send("DELETE", path, ""), 204)
	partial := l.create(2, "Upload-Concat", "partial")
	l.want(l.patch(partial, 0, "ab"), 204)
	l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201)
	l.want(l.send("POST", "/files/", "", "Upload-Length", "0"), 201)
	l.stop()

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

func TestForgottenConsumerBlocksNothing(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	sub := l.handler.Subscribe(1)
	for range 5 {
		l.create(1)
	}
	if n := sub.Dropped(); n != 4 {
		t.Errorf("%d events dropped, want 4", n)
	}
}

func TestProgressWhileReceiving(t *testing.T) {
	composer := tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer,
		ProgressInterval: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{T: t, handler: handler, server: httptest.NewServer(handler)}
	defer l.stop()
	sub := handler.Subscribe(1000)
	path := l.create(100)
	<-sub.C
	feed, done := l.stream(path, -1)
	for i := int64(1); i <= 3; i++ {
		io.WriteString(feed, "ab")
		if event := <-sub.C; event.Type != tusd.EventPostReceive || event.Upload.Offset != 2*i {
			t.Errorf("after %d bytes: %s at %d", 2*i, event.Type, event.Upload.Offset)
		}
	}
	feed.Close()
	<-done
}

// pending makes a final of one full and one unfinished partial.
func pending(l *life) (full, open, final string) {
	full, open = l.create(2, "Upload-Concat", "partial"), l.create(3, "Upload-Concat", "partial")
	l.want(l.patch(full, 0, "ab"), 204)
	a := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+full+" "+open), 201)
	return full, open, a.Header.Get("Location")
}

func TestFinalWaitsForItsPartials(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	full, open, final := pending(l)
	if a := l.want(l.head(final), 200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "5" {
		t.Errorf("HEAD of the pending final: %v", a.Header)
	}
	l.want(l.patch(final, 0, "x"), 403)
	l.want(l.send("GET", final, ""), 409)
	for _, partial := range []string{full, open} {
		if a := l.want(l.send("DELETE", partial, ""), 423); a.Header.Get("Retry-After") == "" {
			t.Error("423 without Retry-After")
		}
	}
	l.want(l.patch(open, 0, "cde"), 204)
	l.eventually("the final is built by the end of its last partial", func() bool {
		return l.head(final).Header.Get("Upload-Offset") == "5"
	})
	if a := l.want(l.send("GET", final, ""), 200); a.body != "abcde" {
		t.Errorf("content %q", a.body)
	}
	l.want(l.send("DELETE", open, ""), 204)
	l.want(l.send("DELETE", full, ""), 204)
	l.want(l.send("GET", final, ""), 200)
}

func TestFinalOfDeferredPartials(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	a := l.want(l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Defer-Length", "1"), 201)
	partial := a.Header.Get("Location")
	final := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial+" "+partial), 201).Header.Get("Location")
	if a := l.want(l.head(final), 200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "" {
		t.Errorf("HEAD of a final of unknown length: %v", a.Header)
	}
	l.want(l.send("PATCH", partial, "abc", "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0", "Upload-Length", "3"), 204)
	l.eventually("the final is built", func() bool { return l.head(final).Header.Get("Upload-Offset") == "6" })
	if a := l.want(l.send("GET", final, ""), 200); a.body != "abcabc" {
		t.Errorf("content %q", a.body)
	}
}

func TestOldPendingFinalLetsItsPartialsGo(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	_, open, final := pending(l)
	l.eventually("the partials know the final", func() bool { return l.send("DELETE", open, "").StatusCode == 423 })
	l.later.Store(int64(25 * time.Hour))
	l.want(l.send("DELETE", open, ""), 204)
	if a := l.want(l.head(final), 410); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("a failed final has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	l.want(l.send("GET", final, ""), 410)
	l.want(l.send("DELETE", final, ""), 204)
}

func TestPartialThatIsGoneFailsTheFinal(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	_, open, final := pending(l)
	l.stop()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "any", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Terminate(t.Context(), lease, strings.TrimPrefix(open, "/files/")); err != nil { // behind the handler's back
		t.Fatal(err)
	}
	next := live(t, store, tusd.Callbacks{})
	path := final[strings.Index(final, "/files/"):]
	next.eventually("HEAD of the final is 410", func() bool { return next.head(path).StatusCode == 410 })
}

func TestRepeatedConcatenationIsTheSameFinal(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	partial := l.create(2, "Upload-Concat", "partial")
	l.want(l.patch(partial, 0, "ab"), 204)
	join := func(l *life, metadata string) string {
		t.Helper()
		a := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial, "Upload-Metadata", metadata), 201)
		return a.Header.Get("Location")[len(l.server.URL):]
	}
	first := join(l, "a YQ==")
	if again := join(l, "a YQ=="); again != first {
		t.Errorf("the same request made %s and %s", first, again)
	}
	if other := join(l, "b Yg=="); other == first {
		t.Error("other metadata gave the same final")
	}
	l.stop()
	l = live(t, store, tusd.Callbacks{})
	if again := join(l, "a YQ=="); again != first {
		t.Errorf("after a restart the same request made %s, before %s", again, first)
	}
	l.later.Store(int64(11 * time.Minute))
	if late := join(l, "a YQ=="); late == first {
		t.Error("after 11 minutes the same request still means the first final")
	}
	l.want(l.send("DELETE", first, ""), 204)
}

func TestSlowFinalIsAnsweredBeforeItIsBuilt(t *testing.T) {
	slow := &slowConcat{Memory: storetest.NewMemory(), release: make(chan struct{})}
	composer := tusd.NewStoreComposer()
	composer.UseCore(slow)
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer,
		AcquireLockTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	tuning.Change(handler, buildTimeout(20*time.Millisecond))
	l := &life{T: t, handler: handler, server: httptest.NewServer(handler)}
	defer l.stop()
	partial := l.create(2, "Upload-Concat", "partial")
	l.want(l.patch(partial, 0, "ab"), 204)
	final := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201).Header.Get("Location")
	again := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201).Header.Get("Location")
	if again != final {
		t.Errorf("repeated while it is built: %s, want %s", again, final)
	}
	if a := l.want(l.head(final), 200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while it is built has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	l.want(l.send("DELETE", partial, ""), 423)
	l.want(l.patch(final, 0, ""), 403)
	close(slow.release)
	l.eventually("the final is built in the background", func() bool { return l.head(final).Header.Get("Upload-Offset") == "2" })
	if n := slow.calls.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
}

// slowConcat joins only when released.
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

func TestShutdownKeepsWhatArrived(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	path := l.create(100)
	feed, answered := l.stream(path, 100)
	io.WriteString(feed, "hello")
	l.eventually("the bytes are received", func() bool { return storedOffset(t, store, path) == 5 })
	if err := l.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, ok := <-answered
	feed.Close()
	if !ok || a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.HasPrefix(a.body, "ERR_SERVER_SHUTDOWN: ") {
		t.Fatalf("the running PATCH got %+v, %q", a.Response, a.body)
	}
	next := live(t, store, tusd.Callbacks{})
	if a := next.want(next.head(path), 200); a.Header.Get("Upload-Offset") != "5" {
		t.Errorf("offset after the restart: %s, want 5", a.Header.Get("Upload-Offset"))
	}
}

func TestFinalBesideARunningPatch(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	partial := l.create(4, "Upload-Concat", "partial")
	feed, done := l.stream(partial, -1)
	io.WriteString(feed, "ab")
	l.eventually("the PATCH is running", func() bool { return storedOffset(t, store, partial) == 2 })

	begun := time.Now()
	final := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201).Header.Get("Location")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("POST took %v, though there is nothing to wait for", took)
	}
	if a := l.want(l.head(final), 200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD of the pending final: Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	io.WriteString(feed, "cd") // the PATCH was not disturbed
	feed.Close()
	<-done
	id := strings.TrimPrefix(final, l.server.URL)
	l.eventually("the final is built without anybody asking", func() bool { return storedOffset(t, store, id) == 4 })
	l.eventually("its content is there", func() bool { return l.send("GET", final, "").body == "abcd" })
}

func TestBusyPartialOfAPendingFinalIsKept(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	partial := l.create(4, "Upload-Concat", "partial")
	feed, _ := l.stream(partial, -1)
	defer feed.Close()
	io.WriteString(feed, "ab")
	l.eventually("the PATCH is running", func() bool { return storedOffset(t, store, partial) == 2 })
	l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201)
	if a := l.send("DELETE", partial, ""); a.StatusCode != 423 {
		t.Errorf("DELETE of a partial that a pending final names: %d, want 423", a.StatusCode)
	}
}

// storedOffset is the offset in the store, asked for without disturbing anybody.
func storedOffset(t *testing.T, store *storetest.Memory, path string) int64 {
	t.Helper()
	return stored(t, store, path).Offset
}

func TestPanickingCallbackLocksNothing(t *testing.T) {
	store := storetest.NewMemory()
	var asked atomic.Int32
	l := live(t, store, tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			if asked.Add(1) <= 2 { // in the request, and once in the background
				panic("boom")
			}
			return tusd.HTTPResponse{}, nil
		},
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { panic("boom") },
	})
	path := l.create(5)
	if a := l.want(l.patch(path, 0, "hello"), 503); strings.Contains(a.body, "boom") {
		t.Errorf("the panic is in the answer: %q", a.body)
	}
	l.eventually("it is finished all the same", func() bool { return l.head(path).StatusCode == 200 })
	l.want(l.send("DELETE", path, ""), 500)
	l.want(l.head(path), 200)
}

func TestPendingFinalSurvivesACrash(t *testing.T) {
	store := storetest.NewMemory()
	l := live(t, store, tusd.Callbacks{})
	full, open, final := pending(l)
	l.stop()
	// As after a crash before the partials were told.
	for _, path := range []string{full, open} {
		locker := new(tusd.LocalLocker)
		id := strings.TrimPrefix(path, "/files/")
		lease, err := locker.Lock(t.Context(), id, tusd.LockTry)
		if err != nil {
			t.Fatal(err)
		}
		upload, err := store.GetUpload(t.Context(), lease, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := upload.UpdateInfo(t.Context(), func(info *tusd.FileInfo) error { info.Finals = nil; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	next := live(t, store, tusd.Callbacks{})
	next.eventually("the partials are told again", func() bool {
		return len(stored(t, store, full).Finals) == 1 && len(stored(t, store, open).Finals) == 1
	})
	next.want(next.send("DELETE", full, ""), 423)
	next.want(next.patch(open, 0, "cde"), 204)
	id := final[strings.Index(final, "/files/"):]
	next.eventually("the final is built without anybody asking", func() bool { return storedOffset(t, store, id) == 5 })
	next.eventually("nothing is left to be done", func() bool {
		names, _, err := store.ListSides(t.Context(), "building", "", 10)
		return err == nil && len(names) == 0
	})
}

// stored is what the store says of an upload.
func stored(t *testing.T, store tusd.DataStore, path string) tusd.FileInfo {
	t.Helper()
	upload, err := store.GetUpload(t.Context(), nil, path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		t.Fatal(err)
	}
	info, err := upload.GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestManyHeadsAtOnce(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	path := l.create(5)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				if a := l.head(path); a.StatusCode != 200 {
					t.Errorf("HEAD beside others: %d", a.StatusCode)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestSpoiledPartialFailsItsFinal(t *testing.T) {
	l := live(t, storetest.NewMemory(), tusd.Callbacks{})
	a := l.want(l.send("POST", "/files/", "", "Upload-Concat", "partial", "Upload-Defer-Length", "1"), 201)
	partial := a.Header.Get("Location")
	final := l.want(l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial), 201).Header.Get("Location")
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", partial, strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/partial-upload", "Upload-Draft-Interop-Version": "9",
		"Upload-Offset": "0", "Upload-Complete": "?0", "Upload-Length": "2",
	} {
		r.Header.Set(name, value)
	}
	res, err := l.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Fatalf("more than the length: %d, want 413", res.StatusCode)
	}
	l.want(l.head(partial), 410)
	l.eventually("the final has failed, too", func() bool { return l.head(final).StatusCode == 410 })
	l.want(l.send("DELETE", partial, ""), 204)
}
