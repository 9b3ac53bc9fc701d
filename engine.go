package tusd

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/internal/background"
	"github.com/tus/tusd/internal/contexts"
	"github.com/tus/tusd/internal/keyed"
)

// engine carries out the operations. It knows no HTTP: dialects translate.
type engine struct {
	config           Config // with defaults
	store            *StoreComposer
	log              *slog.Logger
	metrics          *Metrics
	events           broadcaster
	now              func() time.Time // tests replace these four
	firstRetryDelay  time.Duration    // the first wait between two attempts to finish
	buildTimeout     time.Duration    // how long a POST waits for its final
	lastRebuildDelay time.Duration    // the longest wait between two attempts to build

	requestBytes  atomic.Int64 // of requests that work in the background keeps
	finishRetries atomic.Int64 // uploads that wait for another attempt to be finished
	mostRetries   int64        // of these; tests replace it
	finishLeft    atomic.Bool  // others were left to their side records

	background     context.Context // ends when the server closes
	end            context.CancelFunc
	work           background.Group
	finishing      keyed.Mutex          // uploads being finished, by id
	building       keyed.Mutex          // finals being built, by id
	joining        keyed.Mutex          // finals being asked for, by the name of their request
	registrations  pendingRegistrations // finals that the records of their partials may not name yet
	awaited        awaitedPartials      // what unbuilt finals wait for
	builders       semaphore            // finals that wait for their first attempt
	builds         semaphore            // attempts to build a final
	retrying       semaphore            // finals that wait for another attempt
	pending        atomic.Bool          // finals were left out that no builder works on
	listed         atomic.Bool          // those of the last stop have their builders
	sweeping       atomic.Bool          // they are being looked for
	removing       keyed.Mutex          // uploads being removed, by id
	digesting      keyed.Mutex          // uploads whose digests are brought up to date, by id
	digestFailures digestFailures       // of these
	readsWhole     atomic.Bool          // the store reads only uploads that have all their bytes
	hashing        chan struct{}        // has room for those who read whole uploads at the same time
	swept          atomic.Int64         // when old side records were last removed, in Unix seconds
}

func newEngine(config Config) *engine {
	e := &engine{
		config:           config,
		store:            config.StoreComposer,
		log:              config.Logger,
		metrics:          newMetrics(),
		now:              time.Now,
		firstRetryDelay:  firstRetry,
		buildTimeout:     buildPatience,
		lastRebuildDelay: lastRebuild,
		hashing:          make(chan struct{}, maxCatchUps),

		mostRetries: maxRetries,
		builders:    make(semaphore, maxBuilders),
		builds:      make(semaphore, buildsAtOnce),
		retrying:    make(semaphore, maxRetrying),
	}
	e.background, e.end = context.WithCancel(context.Background())
	e.work.Panicked = func(r any) {
		e.log.Error("work in the background panicked", "panic", r, "stack", string(debug.Stack()))
	}
	return e
}

// operation is what an operation knows of the request it serves.
type operation struct {
	ctx     context.Context // ends when the client has gone or the handler returns
	from    requestDescriber
	dialect Dialect
	body    *body // nil: no content

	admitted   string              // the upload that the request was last allowed to use
	maxContent int64               // of this request, in bytes; 0: no limit
	created    func(info FileInfo) // told when the upload exists and before its content is read; may be nil
	stored     func(offset int64)  // told now and then what is stored while content is read; may be nil
}

// requestDescriber describes the request for an event, if somebody wants one.
type requestDescriber interface {
	request() HTTPRequest
}

// lockedUpload is an upload under its lease.
type lockedUpload struct {
	id     string
	lease  Lease
	upload Upload
	info   FileInfo
	ctx    context.Context // for store calls: work
	work   contexts.Graceful
	times  *storeTimes
}

// authorize asks the pre-access callback, before anything is locked or read.
func (e *engine) authorize(c *operation, id string) error {
	ask := e.config.Callbacks.PreAccess
	if ask == nil || c.admitted == id {
		return nil
	}
	_, err := consult(func() (HTTPResponse, error) {
		return HTTPResponse{}, ask(c.ctx, Event{Type: EventPreAccess, Upload: FileInfo{ID: id}, HTTPRequest: c.from.request()})
	})
	if err == nil {
		c.admitted = id
	}
	return err
}

// acquire locks an upload and loads it: authorize, lock, load. The caller
// releases the result, or hands it to who does.
func (e *engine) acquire(c *operation, id string) (*lockedUpload, error) {
	if err := e.authorize(c, id); err != nil {
		return nil, err
	}
	if e.finishing.Locked(id) {
		return nil, ErrUploadFinishing
	}
	return e.lockAndLoad(c.ctx, id, LockPreempt)
}

// lockAndLoad locks and loads without asking anybody.
func (e *engine) lockAndLoad(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	h, err := e.lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	loaded := false
	defer func() {
		if !loaded {
			h.release()
		}
	}()
	if err := h.load(e.store.Core); err != nil {
		return nil, err
	}
	loaded = true
	return h, nil
}

// lock takes the lease on an id without loading anything.
func (e *engine) lock(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	lease, err := e.acquireLease(ctx, id, mode)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ErrUnexpectedEOF.With(err) // the client did not wait
	}
	if err != nil {
		return nil, err
	}
	h := &lockedUpload{id: id, lease: lease, times: &e.metrics.store}
	h.work = contexts.Graceful{Lazy: contexts.Lazy{Parent: lease.Context()}, Client: ctx, Grace: e.config.GracePeriod}
	h.ctx = &h.work
	return h, nil
}

// acquireLease waits for a lock as long as a request may. A lock that is free and
// near is had without the cost of a timer.
func (e *engine) acquireLease(ctx context.Context, id string, mode LockMode) (Lease, error) {
	defer e.metrics.LockWait.since(time.Now())
	if e.store.Locker.Scope() != ScopeLease {
		lease, err := e.store.Locker.Lock(ctx, id, LockTry)
		if mode == LockTry || !errors.Is(err, ErrUploadLocked) {
			return lease, err
		}
	}
	wait, cancel := context.WithTimeout(ctx, e.config.AcquireLockTimeout)
	defer cancel()
	return e.store.Locker.Lock(wait, id, mode)
}

// load reads the upload under the lease.
func (h *lockedUpload) load(store DataStore) error {
	defer h.times.load.since(time.Now())
	var err error
	if h.upload, err = store.GetUpload(h.ctx, h.lease, h.id); err != nil {
		return err
	}
	return h.refresh()
}

// refresh brings info up to date with the upload. It is not inlined so that
// what it copies does not lie on the stack below a whole request.
//
//go:noinline
func (h *lockedUpload) refresh() error {
	info, err := h.upload.GetInfo(h.ctx)
	if err == nil {
		h.info = info
	}
	return err
}

// update changes the record.
func (h *lockedUpload) update(ctx context.Context, change func(*FileInfo) error) error {
	defer h.times.update.since(time.Now())
	return h.upload.UpdateInfo(ctx, change)
}

// finish tells the store that the upload has all its bytes.
func (h *lockedUpload) finish(ctx context.Context) error {
	defer h.times.finish.since(time.Now())
	return h.upload.FinishUpload(ctx)
}

// remove removes the upload from the store, which can.
func (e *engine) remove(h *lockedUpload) error {
	defer h.times.terminate.since(time.Now())
	if e.removing.TryLock(h.id) {
		defer e.removing.Unlock(h.id)
	}
	return e.store.Terminater.Terminate(h.ctx, h.lease, h.id)
}

// release gives the lease back, which every locker does in bounded time; a
// second call does nothing. What
// stays locked for lack of a lock service comes free by the lease's own end.
func (h *lockedUpload) release() {
	h.lease.Unlock(h.lease.Context()) // an error tells only that others will have to wait
	h.work.Cancel()
}

// peek loads an upload for reading only, beside whoever is writing to it. One
// that is being removed is not there, rather than broken: a store removes the
// data and the record one after the other.
func (e *engine) peek(ctx context.Context, id string) (Upload, FileInfo, error) {
	upload, info, err := e.load(ctx, id)
	for pause := time.Millisecond; errors.Is(err, ErrBroken) && pause <= longestRecheck; pause *= 4 {
		if e.removing.Locked(id) {
			return nil, info, ErrNotFound.With(errors.New("it is being removed"))
		}
		select { // another server may be removing it
		case <-time.After(pause):
			upload, info, err = e.load(ctx, id)
		case <-ctx.Done():
			return nil, info, context.Cause(ctx)
		}
	}
	return upload, info, err
}

// longestRecheck is the longest pause before a broken upload is looked at again.
const longestRecheck = 64 * time.Millisecond

func (e *engine) load(ctx context.Context, id string) (Upload, FileInfo, error) {
	defer e.metrics.store.load.since(time.Now())
	upload, err := e.store.Core.GetUpload(ctx, nil, id)
	if err != nil {
		return nil, FileInfo{}, err
	}
	info, err := upload.GetInfo(ctx)
	return upload, info, err
}

// usable returns the error that every request on the upload gets in its
// state, if there is one, and wakes the finisher for an upload that has all
// its bytes but was never finished (a crash, another node).
func (e *engine) usable(info *FileInfo) error {
	switch {
	case info.State == StateFailed:
		return failedError(info)
	case e.unfinished(info):
		e.finishLater(info.ID)
		return ErrUploadFinishing
	}
	return nil
}

// unfinished tells whether only the server's part is missing. What the IETF
// draft calls incomplete is never full: its length counts as deferred.
func (e *engine) unfinished(info *FileInfo) bool {
	if info.Complete() || info.State == StateFailed {
		return false
	}
	return info.State == StateFinishing || info.Full()
}

// failedError is the answer of a failed upload.
func failedError(info *FileInfo) error {
	if info.Failure == nil {
		return ErrUploadFailed
	}
	f := *ErrUploadFailed
	if info.Failure.Code != "" {
		f.Code = info.Failure.Code
	}
	if status := info.Failure.StatusCode; status < 400 || status > 599 {
		return &f // nothing that this program has written
	}
	f.Response = HTTPResponse{StatusCode: info.Failure.StatusCode, Body: info.Failure.Body, Header: info.Failure.Header}
	return &f
}

// close interrupts what is running and waits for the work in the background
// until ctx ends.
func (e *engine) close(ctx context.Context) error {
	e.end()
	err := e.work.Wait(ctx)
	e.events.close()
	return err
}
