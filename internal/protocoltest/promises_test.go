package protocoltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// promisingStore knows up to which offset it has promised that the bytes of each upload are
// durable. forget makes it know nothing, as after a kill -9.
type promisingStore struct {
	*storetest.Memory

	mu       sync.Mutex
	promised map[string]int64
	syncs    map[string]int // calls of MakeDurable that had something to make durable, by id
	failing  bool           // these calls fail

	onDeleteSideRecord func(tusd.SideRecordKey) // before a side record is deleted; may be nil
}

func (s *promisingStore) forget(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promised, s.syncs, s.failing = make(map[string]int64), make(map[string]int), failing
}

func (s *promisingStore) promise(id string, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promised[id] = offset
}

// promisedOffset is the offset that a client of the upload may see; -1: none.
func (s *promisingStore) promisedOffset(id string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset, ok := s.promised[id]; ok {
		return offset
	}
	return -1
}

func (s *promisingStore) makeDurable(id string, offset int64) error {
	if s.promisedOffset(id) >= offset {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncs[id]++
	if s.failing {
		return errors.New("the disk does not sync")
	}
	s.promised[id] = offset
	return nil
}

// synced returns the number of uploads that were made durable.
func (s *promisingStore) synced() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.syncs)
}

// promisingUpload is an upload of a promisingStore.
type promisingUpload struct {
	tusd.Upload
	store *promisingStore
	id    string
}

func (s *promisingStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	upload, err := s.Memory.NewUpload(ctx, lease, info)
	if err == nil {
		s.promise(info.ID, 0)
	}
	return promisingUpload{upload, s, info.ID}, err
}

func (s *promisingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	return promisingUpload{upload, s, id}, err
}

func (u promisingUpload) MakeDurable(ctx context.Context) error {
	info, err := u.GetInfo(ctx)
	if err != nil {
		return err
	}
	return u.store.makeDurable(u.id, info.Offset)
}

func (u promisingUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	n, err := u.Upload.WriteChunk(ctx, offset, src)
	u.store.promise(u.id, offset+n)
	return n, err
}

func (u promisingUpload) FinishUpload(ctx context.Context) error {
	return u.promiseAll(ctx, u.Upload.FinishUpload(ctx))
}

// promiseAll promises all bytes if err is nil.
func (u promisingUpload) promiseAll(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	info, err := u.GetInfo(ctx)
	u.store.promise(u.id, info.Offset)
	return err
}

func (s *promisingStore) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if s.onDeleteSideRecord != nil {
		s.onDeleteSideRecord(key)
	}
	return s.Memory.DeleteSideRecord(ctx, key)
}

func (s *promisingStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	inner := make([]tusd.Upload, len(partials))
	for i, p := range partials {
		inner[i] = p.(promisingUpload).Upload
	}
	f := final.(promisingUpload)
	return f.promiseAll(ctx, s.Memory.Concat(ctx, f.Upload, inner))
}

func (s *promisingStore) WriteAtomic(ctx context.Context, upload tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u := upload.(promisingUpload)
	n, err := s.Memory.WriteAtomic(ctx, u.Upload, offset, src)
	if err == nil {
		s.promise(u.id, offset+n)
	}
	return n, err
}

func (s *promisingStore) Rewind(ctx context.Context, upload tusd.Upload, offset int64) error {
	return s.Memory.Rewind(ctx, upload.(promisingUpload).Upload, offset)
}

func (s *promisingStore) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	return s.Memory.DeclareLength(ctx, upload.(promisingUpload).Upload, length)
}

func (s *promisingStore) ServeContent(ctx context.Context, upload tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	return s.Memory.ServeContent(ctx, upload.(promisingUpload).Upload, w, r)
}

// offsetAnswer is whether an answer shows the offset of an upload that may not be durable.
type offsetAnswer int

const (
	showsNoOffset offsetAnswer = iota
	showsOffset
	mayPromise // the offset is made durable although the answer does not show it
)

// Makers of uploads.
var (
	half       = func(e *env) string { return e.postWith([]byte("hello"), "Upload-Length: 10").location() }
	full       = func(e *env) string { return e.createFull([]byte("hello")) }
	draftHalf  = func(e *env) string { return e.ietf(9).create(false, []byte("hello")).location() }
	open       = func(e *env) string { return e.create(3, "Upload-Concat: partial") }
	partial    = func(e *env) string { return e.createPartial([]byte("ab")) }
	builtFinal = func(e *env) string { return e.postFinal(e.createPartial([]byte("ab"))).location() }
	waiting    = func(e *env) string { _, _, final := e.pendingFinal(); return final }
	needed     = func(e *env) string { partial, _, _ := e.pendingFinal(); return partial }
	failed     = func(e *env) string { u := e.createFull([]byte("ab")); e.fail(u); return u }
)

// requests are a request of each kind on an upload whose sync state is unknown.
var promiseRequests = []struct {
	name   string
	upload func(*env) string
	do     func(e *env, target string) *answer
	shows  offsetAnswer
}{
	{"HEAD", half, (*env).tusHead, showsOffset},
	{"HEAD of a complete upload", full, (*env).tusHead, showsOffset},
	{"HEAD of a built final", builtFinal, (*env).tusHead, showsOffset},
	{"HEAD of a final that waits", waiting, (*env).tusHead, showsNoOffset},
	{"HEAD of a failed upload", failed, (*env).tusHead, showsNoOffset},
	{"HEAD in no dialect", half, request("HEAD"), showsNoOffset},
	{"HEAD in no dialect of a complete upload", full, request("HEAD"), showsOffset},
	{"HEAD in no dialect of an upload of the draft", draftHalf, request("HEAD"), showsOffset},
	{"HEAD in the draft", half, draft(9, "HEAD"), showsOffset},
	{"HEAD in the draft with fields of an append", half, draft(4, "HEAD", "Upload-Offset: 5"), showsNoOffset},
	{"HEAD in the draft of a final that waits", waiting, draft(9, "HEAD"), showsNoOffset},
	{"HEAD that is not allowed", half, request("HEAD", version, "X-Refused: 1"), showsNoOffset},

	{"GET", full, request("GET", version), showsOffset},
	{"GET in no dialect", full, request("GET"), showsOffset},
	{"GET of a range", full, request("GET", "Range: bytes=1-2"), showsOffset},
	{"GET of an incomplete upload", half, request("GET", version), showsNoOffset},
	{"GET of an incomplete upload in no dialect", half, request("GET"), showsNoOffset},
	{"GET of an incomplete upload in the draft", half, draft(9, "GET"), showsOffset},
	{"GET of a final that waits", waiting, request("GET", version), showsNoOffset},
	{"GET that is not modified", full, request("GET", "If-None-Match: *"), showsOffset},
	{"GET with a condition that fails", full, request("GET", `If-Match: "other"`), mayPromise},
	{"GET of a range that does not exist", full, request("GET", "Range: bytes=100-"), mayPromise},
	{"GET that is not allowed", full, request("GET", "X-Refused: 1"), showsNoOffset},

	{"PATCH", half, func(e *env, u string) *answer { return e.patch(u, 5, []byte("world")) }, showsOffset},
	{"PATCH in the draft", half, func(e *env, u string) *answer { return e.ietf(9).append(u, 5, false, []byte("x")) }, showsOffset},
	{"PATCH of a complete upload", full, func(e *env, u string) *answer { return e.patch(u, 5, nil) }, showsOffset},
	{"PATCH at another offset", half, func(e *env, u string) *answer { return e.patch(u, 3, []byte("lo")) }, showsOffset},
	{"PATCH at another offset in the draft", half, func(e *env, u string) *answer { return e.ietf(9).append(u, 3, false, []byte("lo")) }, showsOffset},
	{"PATCH with another length", half, func(e *env, u string) *answer { return e.patch(u, 5, nil, "Upload-Length: 7") }, mayPromise},
	{"PATCH without an offset", half, request("PATCH", version, octets), showsNoOffset},
	{"PATCH of another type", half, request("PATCH", version, "Upload-Offset: 5", "Content-Type: text/plain"), showsNoOffset},
	{"PATCH in the draft without an offset", half, draft(9, "PATCH", appendType), showsNoOffset},
	{"PATCH of a final", builtFinal, func(e *env, u string) *answer { return e.patch(u, 2, nil) }, mayPromise},
	{"PATCH that is not allowed", half, request("PATCH", version, octets, "Upload-Offset: 5", "X-Refused: 1"), showsNoOffset},

	{"DELETE", half, (*env).tusDelete, showsNoOffset},
	{"DELETE of a complete upload", full, (*env).tusDelete, showsNoOffset},
	{"DELETE of a partial that a final needs", needed, (*env).tusDelete, showsNoOffset},
	{"DELETE of a final that waits", waiting, (*env).tusDelete, showsNoOffset},
	{"DELETE of a built final", builtFinal, (*env).tusDelete, showsNoOffset},
	{"DELETE in the draft", half, draft(9, "DELETE"), showsNoOffset},
	{"DELETE in the draft with fields of an append", half, draft(4, "DELETE", "Upload-Offset: 5"), showsNoOffset},

	{"POST of a final", partial, func(e *env, u string) *answer { return e.postFinal(u) }, showsNoOffset},
	{"POST of a final that has to wait", open, func(e *env, u string) *answer { return e.postFinal(u) }, showsNoOffset},
	{"POST of a final again", partial, func(e *env, u string) *answer { e.postFinal(u); return e.postFinal(u) }, showsNoOffset},
	{"POST of a final of other uploads", half, func(e *env, u string) *answer { return e.postFinal(u) }, showsNoOffset},
	{"OPTIONS", half, request("OPTIONS", version), showsNoOffset},
}

func (e *env) tusHead(target string) *answer   { return e.head(target) }
func (e *env) tusDelete(target string) *answer { return e.terminate(target) }

func request(method string, header ...string) func(*env, string) *answer {
	return func(e *env, target string) *answer { return e.raw(method, target, nil, header...) }
}

func draft(interop int, method string, header ...string) func(*env, string) *answer {
	return func(e *env, target string) *answer { return e.ietf(interop).do(method, target, nil, header...) }
}

// No answer shows an offset that the store has not promised before, and an answer that shows
// none makes the store promise nothing. If the store cannot promise, the answer is a
// transient error.
func TestOffsetsAreDurableBeforeTheyAreShown(t *testing.T) {
	for _, c := range promiseRequests {
		for _, failing := range []bool{false, true} {
			name := c.name
			if failing {
				name += " on a disk that does not sync"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				store := &promisingStore{Memory: storetest.NewMemory()}
				store.forget(false)
				config := tusd.Config{}
				config.Callbacks.PreAccess = func(_ context.Context, event tusd.Event) error {
					if event.HTTPRequest.Header.Get("X-Refused") != "" {
						return tusd.ErrUploadRejected
					}
					return nil
				}
				e := serve(t, store, config)
				target := c.upload(e)
				e.restart() // ends the work in the background
				store.forget(failing)
				store.check(e, idOf(target), c.do(e, target), c.shows)
			})
		}
	}
}

// check checks the answer to a request on an upload.
func (s *promisingStore) check(e *env, id string, a *answer, shows offsetAnswer) {
	e.Helper()
	shown := a.Offset()
	switch {
	case shown > s.promisedOffset(id):
		e.Errorf("the answer shows offset %d, but the store has promised only %d: %v", shown, s.promisedOffset(id), a.Answer)
	case shows != showsOffset && shown >= 0:
		e.Errorf("an unexpected offset %d: the list of requests is wrong", shown)
	case shows == showsNoOffset && s.synced() > 0:
		e.Errorf("the store has to make %d uploads durable for an answer without an offset: %v", s.synced(), a.Answer)
	case shows == showsOffset && !s.failing && shown < 0:
		e.Errorf("the answer shows no offset: %v", a.Answer)
	case shows == showsOffset && s.failing && !a.Transient():
		e.Errorf("the offset cannot be made durable, and the answer is not a transient error: %v", a.Answer)
	}
	if s.failing && bytes.Contains(a.Body, []byte("expected-offset")) {
		e.Errorf("the answer shows an offset that the store has not promised: %s", a.Body)
	}
}

// A final is complete a moment before its builder ends. HEAD then reads it without a lock.
func TestOffsetOfFinalWhoseBuilderWorks(t *testing.T) {
	for _, failing := range []bool{false, true} {
		store := &promisingStore{Memory: storetest.NewMemory()}
		store.forget(false)
		complete, goOn := make(chan struct{}), make(chan struct{})
		store.onDeleteSideRecord = func(key tusd.SideRecordKey) {
			if key.Kind == "building" {
				close(complete)
				<-goOn
			}
		}
		config := tusd.Config{}
		config.Callbacks.PreCreate = func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			if event.Upload.IsFinal {
				return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: "final"}, nil
			}
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{}, nil
		}
		e := serve(t, store, config)
		parts := e.createPartial([]byte("ab"))
		posted := make(chan *answer)
		go func() { posted <- e.another().postFinal(parts) }()
		await(t, complete)
		store.forget(failing)
		store.check(e, "final", e.head("/files/final"), showsOffset)
		close(goOn)
		(<-posted).status(201)
	}
}

// A partial may be removed when a final has its bytes. If a crash has interrupted the copy
// before its sync, the copy is made durable first.
func TestCopyIsDurableBeforeItsPartialIsRemoved(t *testing.T) {
	store := &promisingStore{Memory: storetest.NewMemory()}
	store.forget(false)
	e := serve(t, store, tusd.Config{})
	parts := e.createPartial([]byte("ab"))
	final := e.postFinal(parts).status(201).location()
	e.changeRecord(final, func(info *tusd.FileInfo) { info.State = tusd.StateUploading })
	e.changeRecord(parts, func(info *tusd.FileInfo) { info.Finals = []string{idOf(final)} })
	store.forget(true)
	if a := e.terminate(parts); !a.Transient() {
		t.Errorf("the copy is not durable, and the partial is removed: %v", a.Answer)
	}
	store.forget(false)
	e.terminate(parts).status(204)
	if offset := store.promisedOffset(idOf(final)); offset != 2 {
		t.Errorf("the partial is removed when %d bytes of the final are durable", offset)
	}
}
