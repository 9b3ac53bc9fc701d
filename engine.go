package tusd

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/internal/background"
	"github.com/tus/tusd/internal/keyed"
	"github.com/tus/tusd/internal/workqueue"
)

// engine executes the operations. It does not read or write HTTP: dialects
// translate requests into operations and results into answers.
type engine struct {
	config           Config // with defaults
	store            *StoreComposer
	log              *slog.Logger
	metrics          *Metrics
	events           publisher
	deliveries       *deliveries
	now              func() time.Time // tests replace this and the next four
	firstRetryDelay  time.Duration    // the first wait between two attempts to finish
	finishWait       time.Duration    // how long a request waits for the pre-finish callback
	buildTimeout     time.Duration    // how long a POST waits for its final
	lastRebuildDelay time.Duration    // the longest wait between two attempts to build
	rescanInterval   time.Duration    // between two looks at the side records

	retainedRequestBytes atomic.Int64                 // of requests that work in the background retains
	finishes             workqueue.Queue[*finishTask] // uploads that are finished or published in the background, by id
	resuming             sync.Mutex                   // held by resumeFinishes
	resumeCursor         string                       // where it continues; guarded by resuming
	rescanTimer          *time.Timer                  // of the next look at the side records
	finishesLeftOut      atomic.Bool                  // some uploads did not fit into finishes: they are only in side records

	running          receptions
	background       context.Context // ends when the server closes
	cancelBackground context.CancelFunc
	work             background.Group
	unlocks          background.Group     // releases of leases that no answer waits for
	changing         background.Group     // requests that may change an upload, and so publish events
	finishing        keyed.Mutex          // uploads being finished, by id
	building         keyed.Mutex          // finals being built, by id
	creatingFinals   keyed.Mutex          // finals being created, by the name of the side record
	registrations    pendingRegistrations // finals that the records of their partials may not name yet
	woken            wokenFinals          // finals that need a builder that starts later than now
	awaited          awaitedPartials      // partials that unbuilt finals wait for
	builders         semaphore            // finals that wait for their first attempt to be built
	builds           semaphore            // running attempts to build a final
	retrying         semaphore            // finals that wait for another attempt
	finalsLeftOut    atomic.Bool          // unbuilt finals exist that have no builder, see rescanFinals
	finalsListed     atomic.Bool          // the unbuilt finals of an earlier process have builders
	listingFinals    atomic.Bool          // rescanFinals is running
	removing         keyed.Mutex          // uploads being removed, by id
	removalLooks     atomic.Int64         // how often resumeRemovals was asked for since it was idle
	digesting        keyed.Mutex          // uploads whose digests are being brought up to date, by id
	digestFailures   digestFailures       // uploads whose digests could not be brought up to date
	readsOnlyFull    atomic.Bool          // the store reads only full uploads
	faults           repeatedFaults       // faults that were logged
	hashSlots        chan struct{}        // limits how many uploads are read again at the same time
	sideRecordsSwept atomic.Int64         // time of the last removal of old side records, in Unix seconds
}

func newEngine(config Config) *engine {
	e := &engine{
		config:           config,
		store:            config.StoreComposer,
		log:              config.Logger,
		metrics:          newMetrics(),
		now:              time.Now,
		firstRetryDelay:  minFinishDelay,
		finishWait:       defaultFinishWait,
		buildTimeout:     defaultBuildTimeout,
		lastRebuildDelay: maxRebuildDelay,
		rescanInterval:   rescanInterval,
		hashSlots:        make(chan struct{}, maxCatchUps),

		builders: make(semaphore, maxBuilders),
		builds:   make(semaphore, buildsAtOnce),
		retrying: make(semaphore, maxRetrying),
	}
	e.deliveries = newDeliveries(e, config.Delivery)
	e.events.sink, e.events.deliveries, e.events.metrics, e.events.log = config.Events, e.deliveries, e.metrics, e.log
	e.finishes.Workers, e.finishes.Capacity, e.finishes.Run, e.finishes.Start = finishesAtOnce, maxFinishTasks, e.runFinish, e.work.Start
	e.background, e.cancelBackground = context.WithCancel(context.Background())
	e.work.Panicked = func(r any) {
		e.log.Error("work in the background panicked", "panic", r, "stack", string(debug.Stack()))
	}
	e.unlocks.Panicked = e.work.Panicked
	return e
}

// operation describes the request that an operation of the engine serves.
type operation struct {
	ctx     context.Context // ends when the client disconnects or the handler returns
	from    requestDescriber
	dialect Dialect
	body    *body // nil: no content

	reception reception // of body

	authorized string              // id of the upload that the request was last authorized for
	maxContent int64               // of this request, in bytes; 0: no limit
	onCreated  func(info FileInfo) // called when the upload exists, before its content is read; may be nil
	onStored   func(offset int64)  // called repeatedly with the stored offset while content is read; may be nil
}

// requestDescriber describes the request of an operation.
type requestDescriber interface {
	// request is called only if there is a receiver of the event.
	request() HTTPRequest
	// identify returns method, request id and client. Any goroutine may call it while the
	// operation runs.
	identify() RunningRequest
}

// operationResult is the result of an operation. With an error, it describes what was
// done before the error.
type operationResult struct {
	info     *FileInfo    // nil: there is no upload, or nothing is known of it
	response HTTPResponse // changes of the answer by callbacks
}

// exists reports whether the upload is known to exist.
func (r operationResult) exists() bool { return r.info != nil && r.info.ID != "" }

// merge adds a later result, whose values take precedence.
func (r *operationResult) merge(later operationResult) {
	if later.exists() {
		r.info = later.info
	}
	r.response = mergeResponses(r.response, later.response)
}

// mergeResponses merges two responses. The fields that are set in b take precedence.
func mergeResponses(a, b HTTPResponse) HTTPResponse {
	a.StatusCode = cmp.Or(b.StatusCode, a.StatusCode)
	a.Body = cmp.Or(b.Body, a.Body)
	if len(b.Header) > 0 {
		header := make(map[string]string, len(a.Header)+len(b.Header))
		for _, from := range []map[string]string{a.Header, b.Header} {
			for name, value := range from {
				header[name] = value
			}
		}
		a.Header = header
	}
	return a
}

// authorize calls the pre-access callback, before the upload is locked or read.
func (e *engine) authorize(op *operation, id string) error {
	callback := e.config.Callbacks.PreAccess
	if callback == nil || op.authorized == id {
		return nil
	}
	_, err := consult(func() (HTTPResponse, error) {
		return HTTPResponse{}, callback(op.ctx, Event{Type: EventPreAccess, Upload: FileInfo{ID: id}, HTTPRequest: op.from.request(), load: e.recordLoader(id)})
	})
	if err == nil {
		op.authorized = id
	}
	return err
}

// recordLoader returns the function behind Event.Record in pre-access.
func (e *engine) recordLoader(id string) func(context.Context) (FileInfo, error) {
	return func(ctx context.Context) (FileInfo, error) {
		_, info, err := e.peek(ctx, id)
		return info.Clone(), err
	}
}

// peek loads an upload for reading, without a lock. It causes no sync: before a client
// sees the offset, makeDurable has to return. A store removes the data and the
// record one after the other, so an upload may look broken while it is removed: peek
// then returns ErrNotFound without ErrBroken.
func (e *engine) peek(ctx context.Context, id string) (Upload, FileInfo, error) {
	upload, info, err := e.load(ctx, id)
	for wait := time.Millisecond; errors.Is(err, ErrBroken) && wait <= longestRecheck; wait *= 4 {
		if e.removing.Locked(id) {
			return nil, info, ErrNotFound.With(errors.New("it is being removed"))
		}
		select { // another server may be removing it
		case <-time.After(wait):
			upload, info, err = e.load(ctx, id)
		case <-ctx.Done():
			return nil, info, context.Cause(ctx)
		}
	}
	return upload, info, err
}

// longestRecheck is the longest wait before peek loads a broken upload again.
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

// makeDurable makes the offset of an upload that peek has returned durable: a client may
// see it.
func (e *engine) makeDurable(ctx context.Context, id string, upload Upload) error {
	defer e.metrics.store.makeDurable.since(time.Now())
	err := upload.MakeDurable(ctx)
	if err == nil {
		return nil
	}
	return cmp.Or(e.checkExists(ctx, id), err) // it may have been removed meanwhile
}

// checkUsable returns an error if the upload has failed, has expired or is not finished yet. It
// starts to finish a full upload that was not finished, because of a crash or because
// another server stored it.
func (e *engine) checkUsable(info *FileInfo) error {
	switch {
	case info.State == StateFailed:
		return failedError(info)
	case e.needsFinish(info):
		e.finishLater(info.ID)
		return ErrUploadFinishing
	case e.isExpired(info):
		return ErrUploadExpired
	}
	return nil
}

// needsFinish reports whether the upload is full and the server has to finish it. An
// upload that the IETF draft calls incomplete is never full: its length is deferred.
func (e *engine) needsFinish(info *FileInfo) bool {
	if info.isComplete() || info.State == StateFailed {
		return false
	}
	return info.State == StateFinishing || info.isFull()
}

// close interrupts the work in the background. It waits for its end, for the end of
// requests that may publish events, and until their locks are released, or for the end of
// ctx.
func (e *engine) close(ctx context.Context) error {
	e.cancelBackground()
	if e.rescanTimer != nil {
		e.rescanTimer.Stop()
	}
	e.finishes.Close()
	err := e.waitForEvents(ctx)
	if err != nil {
		go func() {
			e.waitForEvents(context.Background())
			e.events.close()
		}()
		return err
	}
	e.events.close()
	return e.unlocks.Wait(ctx)
}

// waitForEvents waits until no event can come any more. It closes the groups in any case.
func (e *engine) waitForEvents(ctx context.Context) error {
	err := e.changing.Wait(ctx)
	e.deliveries.drain(ctx)
	return cmp.Or(err, e.work.Wait(ctx))
}
