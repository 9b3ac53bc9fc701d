package protocoltest

import (
	"context"
	"errors"
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

// Scenarios of what happens around the protocol: callbacks, events, finishing,
// finals that take their time, shutdown.

func TestPreCreateChangesTheUpload(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			if event.Upload.Size != 5 || event.Upload.ID != "" || event.HTTPRequest.Method != "POST" || event.HTTPRequest.URI != "/files/" {
				t.Errorf("the callback saw %+v", event)
			}
			return tusd.HTTPResponse{Header: map[string]string{"X-Mine": "1"}},
				tusd.FileInfoChanges{ID: "team/a+b%2F", MetaData: tusd.MetaData{"by": "hook"}}, nil
		},
	}})
	a := e.post("Upload-Length: 5", "Upload-Metadata: by Y2xpZW50").status(201)
	if a.location() != "/files/team/a+b%252F" || a.Header.Get("X-Mine") != "1" {
		t.Fatalf("Location %q, X-Mine %q", a.location(), a.Header.Get("X-Mine"))
	}
	if got := e.head(a.location()).status(200).Header.Get("Upload-Metadata"); got != "by aG9vaw==" {
		t.Errorf("Upload-Metadata %q, want the hook's", got)
	}
}

func TestPreCreateRefuses(t *testing.T) {
	var failWith error
	var id string
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: id}, failWith
		},
	}})
	post := func() *answer { return e.post("Upload-Length: 5") }

	failWith = tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 402, Body: "pay first", Header: map[string]string{"X-Price": "1"}})
	if a := e.raw("POST", "/files/", nil, version, "Upload-Length: 5").status(402); string(a.Body) != "pay first" || a.Header.Get("X-Price") != "1" || a.Header.Get("Location") != "" {
		t.Errorf("refusal with own answer: %q, %v", a.Body, a.Header)
	}
	failWith = tusd.ErrUploadRejected
	if a := post().status(400); !strings.HasPrefix(string(a.Body), "ERR_UPLOAD_REJECTED: ") {
		t.Errorf("plain refusal: %q", a.Body)
	}
	failWith = errors.New("hook server secret-host out of reach")
	if a := post().status(500); a.Header.Get("Retry-After") == "" || strings.Contains(string(a.Body), "secret-host") {
		t.Errorf("hook failure: %q, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
	}
	for _, id = range []string{"../etc/passwd", "a.info", ".tusd.locks", "a//b", "ä", strings.Repeat("x", 241)} {
		failWith = nil
		if a := post().status(400); !strings.HasPrefix(string(a.Body), "ERR_INVALID_UPLOAD_NAME: ") || strings.Contains(string(a.Body), id) || a.Header.Get("Retry-After") != "" {
			t.Errorf("an id that cannot be: %q, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
		}
	}
	failWith, id = nil, "taken"
	post().status(201)
	if a := post().status(409); !strings.HasPrefix(string(a.Body), "ERR_UPLOAD_EXISTS: ") {
		t.Errorf("an id that exists: %q", a.Body)
	}
}

func TestPreAccessGuardsEveryRequest(t *testing.T) {
	var deny atomic.Bool
	var asked []string
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreAccess: func(_ context.Context, event tusd.Event) error {
			asked = append(asked, event.HTTPRequest.Method)
			if deny.Load() {
				return tusd.ErrAccessDenied
			}
			return nil
		},
	}})
	path := e.create(5, "Upload-Concat: partial")
	e.patch(path, 0, []byte("hello")).status(204)
	deny.Store(true)
	e.head(path).status(403)
	e.patch(path, 5, nil).status(403)
	e.get(path, version).status(403)
	e.terminate(path).status(403)
	e.postFinal(path).status(403)
	e.head("/files/unknown").status(403)
	if want := []string{"PATCH", "HEAD", "PATCH", "GET", "DELETE", "POST", "HEAD"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestPreTerminateRefuses(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrTerminationRejected
		},
	}})
	path := e.create(5)
	e.terminate(path).status(400)
	e.head(path).status(200)
}

func TestPreFinishIsTriedAgain(t *testing.T) {
	store := storetest.NewMemory()
	var attempts atomic.Int32
	release := make(chan struct{})
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
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
	}})
	path := e.create(5)
	if a := e.patch(path, 0, []byte("hello")).status(503); a.Header.Get("Retry-After") == "" || !strings.HasPrefix(string(a.Body), "ERR_FINISH_FAILED: ") {
		t.Errorf("first attempt: %q", a.Body)
	}
	if a := e.head(path).status(423); a.Header.Get("Retry-After") == "" || a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while finishing: %v", a.Header)
	}
	e.patch(path, 5, nil).status(423)
	e.get(path, version).status(503)
	close(release)
	e.eventually("HEAD is 200", func() bool { return e.head(path).Status == 200 })
	e.patch(path, 5, nil).status(204)
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
	e := serve(t, store, tusd.Config{Callbacks: callbacks})
	path := e.create(5)
	check := func(method string, body []byte, header ...string) {
		t.Helper()
		a := e.raw(method, path, body, append(header, version)...).status(422)
		if a.Header.Get("X-Why") != "scan" || method != "HEAD" && string(a.Body) != "virus" {
			t.Errorf("%s: %q %v", method, a.Body, a.Header)
		}
	}
	check("PATCH", []byte("hello"), octets, "Upload-Offset: 0")
	e.stop()
	e = serve(t, store, tusd.Config{}) // the answer is with the upload, not with the callback
	check("HEAD", nil)
	check("PATCH", nil, octets, "Upload-Offset: 5")
	check("GET", nil)
	e.terminate(path).status(204)
	e.head(path).status(404)
}

func TestFinishingOutlivesTheClientAndTheServer(t *testing.T) {
	store := storetest.NewMemory()
	asked, answer := make(chan struct{}, 1), make(chan error)
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			asked <- struct{}{}
			return tusd.HTTPResponse{}, <-answer
		},
	}})
	path := e.create(5)
	patch := e.openNow(path, 0, 5)
	patch.send([]byte("hello"))
	<-asked
	_ = patch.Abort()
	e.drop()
	answer <- errors.New("the machine is about to stop") // the first server gives up on it
	<-asked                                              // tries again
	go func() { answer <- errors.New("still") }()
	e.stop()

	var finished atomic.Int32
	second := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			finished.Add(1)
			return tusd.HTTPResponse{}, nil
		},
	}})
	// No request wakes it: the side record does.
	second.eventually("the next server finishes it", func() bool { return finished.Load() == 1 })
	second.eventually("HEAD is 200", func() bool { return second.head(path).Status == 200 })
	if n := finished.Load(); n != 1 {
		t.Errorf("finished %d times", n)
	}
}

func TestFullButUnfinishedIsWokenByAnyRequest(t *testing.T) {
	store := storetest.NewMemory()
	store.UseIn(tusd.NewStoreComposer())
	first := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, errors.New("never here")
	}}})
	path := first.create(5)
	first.patch(path, 0, []byte("hello")).status(503)
	first.stop()
	names, _, err := store.ListSides(t.Context(), "finishing", "", 10)
	if err != nil || len(names) != 1 {
		t.Fatalf("side records: %v, %v", names, err)
	}
	if err := store.DeleteSide(t.Context(), tusd.SideKey{Kind: "finishing", Name: names[0]}); err != nil { // as if it crashed before
		t.Fatal(err)
	}
	second := serve(t, store, tusd.Config{})
	second.head(path).status(423)
	second.eventually("HEAD is 200", func() bool { return second.head(path).Status == 200 })
}

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

func TestForgottenConsumerBlocksNothing(t *testing.T) {
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

// pending makes a final of one full and one unfinished partial.
func pending(e *env) (full, open, final string) {
	full, open = e.create(2, "Upload-Concat: partial"), e.create(3, "Upload-Concat: partial")
	e.patch(full, 0, []byte("ab")).status(204)
	a := e.postFinal(full + " " + open).status(201)
	return full, open, a.location()
}

func TestFinalWaitsForItsPartials(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	full, open, final := pending(e)
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "5" {
		t.Errorf("HEAD of the pending final: %v", a.Header)
	}
	e.patch(final, 0, []byte("x")).status(403)
	e.get(final, version).status(409)
	for _, partial := range []string{full, open} {
		if a := e.terminate(partial).status(423); a.Header.Get("Retry-After") == "" {
			t.Error("423 without Retry-After")
		}
	}
	e.patch(open, 0, []byte("cde")).status(204)
	e.eventually("the final is built by the end of its last partial", func() bool {
		return e.head(final).Header.Get("Upload-Offset") == "5"
	})
	if a := e.get(final, version).status(200); string(a.Body) != "abcde" {
		t.Errorf("content %q", a.Body)
	}
	e.terminate(open).status(204)
	e.terminate(full).status(204)
	e.get(final, version).status(200)
}

func TestFinalOfDeferredPartials(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	partial := e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(partial + " " + partial).status(201).location()
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" || a.Header.Get("Upload-Length") != "" {
		t.Errorf("HEAD of a final of unknown length: %v", a.Header)
	}
	e.patch(partial, 0, []byte("abc"), "Upload-Length: 3").status(204)
	e.eventually("the final is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "6" })
	if a := e.get(final, version).status(200); string(a.Body) != "abcabc" {
		t.Errorf("content %q", a.Body)
	}
}

func TestOldPendingFinalLetsItsPartialsGo(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	_, open, final := pending(e)
	e.eventually("the partials know the final", func() bool { return e.terminate(open).Status == 423 })
	e.ahead.Store(int64(25 * time.Hour))
	e.terminate(open).status(204)
	if a := e.head(final).status(410); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("a failed final has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	e.raw("GET", final, nil, version).status(410)
	e.terminate(final).status(204)
}

func TestPartialThatIsGoneFailsTheFinal(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	_, open, final := pending(e)
	e.stop()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "any", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Terminate(t.Context(), lease, strings.TrimPrefix(open, "/files/")); err != nil { // behind the handler's back
		t.Fatal(err)
	}
	next := serve(t, store, tusd.Config{})
	next.eventually("HEAD of the final is 410", func() bool { return next.head(final).Status == 410 })
}

func TestRepeatedConcatenationIsTheSameFinal(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	join := func(e *env, metadata string) string {
		t.Helper()
		a := e.postFinal(partial, "Upload-Metadata: "+metadata).status(201)
		return a.location()
	}
	first := join(e, "a YQ==")
	if again := join(e, "a YQ=="); again != first {
		t.Errorf("the same request made %s and %s", first, again)
	}
	if other := join(e, "b Yg=="); other == first {
		t.Error("other metadata gave the same final")
	}
	e.stop()
	e = serve(t, store, tusd.Config{})
	if again := join(e, "a YQ=="); again != first {
		t.Errorf("after a restart the same request made %s, before %s", again, first)
	}
	e.ahead.Store(int64(11 * time.Minute))
	if late := join(e, "a YQ=="); late == first {
		t.Error("after 11 minutes the same request still means the first final")
	}
	e.terminate(first).status(204)
}

func TestSlowFinalIsAnsweredBeforeItIsBuilt(t *testing.T) {
	slow := &slowConcat{Memory: storetest.NewMemory(), release: make(chan struct{})}
	e := serve(t, slow, tusd.Config{AcquireLockTimeout: 50 * time.Millisecond}, buildTimeout(20*time.Millisecond))
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	final := e.postFinal(partial).status(201).location()
	again := e.postFinal(partial).status(201).location()
	if again != final {
		t.Errorf("repeated while it is built: %s, want %s", again, final)
	}
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while it is built has Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	e.terminate(partial).status(423)
	e.patch(final, 0, nil).status(403)
	close(slow.release)
	e.eventually("the final is built in the background", func() bool { return e.head(final).Header.Get("Upload-Offset") == "2" })
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
	e := serve(t, store, tusd.Config{})
	path := e.create(100)
	patch := e.openNow(path, 0, 100)
	patch.send([]byte("hello"))
	e.eventually("the bytes are received", func() bool { return storedOffset(t, store, path) == 5 })
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	patch.answer().status(503).code("ERR_SERVER_SHUTDOWN").headerMatches("Retry-After", ".")
	next := serve(t, store, tusd.Config{})
	if a := next.head(path).status(200); a.Header.Get("Upload-Offset") != "5" {
		t.Errorf("offset after the restart: %s, want 5", a.Header.Get("Upload-Offset"))
	}
}

func TestFinalBesideARunningPatch(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(4, "Upload-Concat: partial")
	patch := e.another().openNow(partial, 0, -1)
	patch.send([]byte("ab"))
	e.eventually("the PATCH is running", func() bool { return storedOffset(t, store, partial) == 2 })

	begun := time.Now()
	final := e.postFinal(partial).status(201).location()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("POST took %v, though there is nothing to wait for", took)
	}
	if a := e.head(final).status(200); a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD of the pending final: Upload-Offset %q", a.Header.Get("Upload-Offset"))
	}
	patch.send([]byte("cd")) // the PATCH was not disturbed
	patch.end()
	patch.answer().status(204)
	e.eventually("the final is built without a request for it", func() bool { return storedOffset(t, store, final) == 4 })
	e.eventually("its content is there", func() bool { return string(e.get(final, version).Body) == "abcd" })
}

func TestBusyPartialOfAPendingFinalIsKept(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(4, "Upload-Concat: partial")
	patch := e.another().openNow(partial, 0, -1)
	patch.send([]byte("ab"))
	e.eventually("the PATCH is running", func() bool { return storedOffset(t, store, partial) == 2 })
	e.postFinal(partial).status(201)
	if a := e.terminate(partial); a.Status != 423 {
		t.Errorf("DELETE of a partial that a pending final names: %d, want 423", a.Status)
	}
}

// storedOffset is the offset in the store, asked for without disturbing anybody.
func storedOffset(t *testing.T, store *storetest.Memory, path string) int64 {
	t.Helper()
	return storedInfo(t, store, path).Offset
}

func TestPanickingCallbackLocksNothing(t *testing.T) {
	store := storetest.NewMemory()
	var asked atomic.Int32
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			if asked.Add(1) <= 2 { // in the request, and once in the background
				panic("boom")
			}
			return tusd.HTTPResponse{}, nil
		},
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { panic("boom") },
	}})
	path := e.create(5)
	if a := e.patch(path, 0, []byte("hello")).status(503); strings.Contains(string(a.Body), "boom") {
		t.Errorf("the panic is in the answer: %q", a.Body)
	}
	e.eventually("it is finished all the same", func() bool { return e.head(path).Status == 200 })
	e.terminate(path).status(500)
	e.head(path).status(200)
}

func TestPendingFinalSurvivesACrash(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	full, open, final := pending(e)
	e.stop()
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
	next := serve(t, store, tusd.Config{})
	next.eventually("the partials are told again", func() bool {
		return len(storedInfo(t, store, full).Finals) == 1 && len(storedInfo(t, store, open).Finals) == 1
	})
	next.terminate(full).status(423)
	next.patch(open, 0, []byte("cde")).status(204)
	next.eventually("the final is built without a request for it", func() bool { return storedOffset(t, store, final) == 5 })
	next.eventually("nothing is left to be done", func() bool {
		names, _, err := store.ListSides(t.Context(), "building", "", 10)
		return err == nil && len(names) == 0
	})
}

// storedInfo is what the store says of an upload.
func storedInfo(t *testing.T, store tusd.DataStore, path string) tusd.FileInfo {
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
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	path := e.create(5)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			client := e.another()
			for range 50 {
				if a := client.head(path); a.Status != 200 {
					t.Errorf("HEAD beside others: %d", a.Status)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestSpoiledPartialFailsItsFinal(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	partial := e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(partial).status(201).location()
	e.spoil(partial)
	e.head(partial).status(410)
	e.eventually("the final has failed, too", func() bool { return e.head(final).Status == 410 })
	e.terminate(partial).status(204)
}
