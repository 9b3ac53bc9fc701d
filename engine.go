package tusd

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/internal/background"
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

	retainedRequestBytes atomic.Int64 // of requests that work in the background keeps
	finishRetries        atomic.Int64 // uploads that wait for another attempt to be finished
	maxFinishRetries     int64        // of these; tests replace it
	finishesLeftOut      atomic.Bool  // others were left to their side records

	background       context.Context // ends when the server closes
	cancelBackground context.CancelFunc
	work             background.Group
	finishing        keyed.Mutex          // uploads being finished, by id
	building         keyed.Mutex          // finals being built, by id
	creatingFinals   keyed.Mutex          // finals being asked for, by the name of their request
	registrations    pendingRegistrations // finals that the records of their partials may not name yet
	awaited          awaitedPartials      // what unbuilt finals wait for
	builders         semaphore            // finals that wait for their first attempt
	builds           semaphore            // attempts to build a final
	retrying         semaphore            // finals that wait for another attempt
	finalsLeftOut    atomic.Bool          // finals were left out that no builder works on
	finalsListed     atomic.Bool          // those of the last stop have their builders
	listingFinals    atomic.Bool          // they are being looked for
	removing         keyed.Mutex          // uploads being removed, by id
	digesting        keyed.Mutex          // uploads whose digests are brought up to date, by id
	digestFailures   digestFailures       // of these
	readsOnlyFull    atomic.Bool          // the store reads only uploads that have all their bytes
	hashSlots        chan struct{}        // has room for those who read whole uploads at the same time
	sideRecordsSwept atomic.Int64         // when old side records were last removed, in Unix seconds
}

func newEngine(config Config) *engine {
	e := &engine{
		config:           config,
		store:            config.StoreComposer,
		log:              config.Logger,
		metrics:          newMetrics(),
		now:              time.Now,
		firstRetryDelay:  minFinishDelay,
		buildTimeout:     defaultBuildTimeout,
		lastRebuildDelay: maxRebuildDelay,
		hashSlots:        make(chan struct{}, maxCatchUps),

		maxFinishRetries: maxRetries,
		builders:         make(semaphore, maxBuilders),
		builds:           make(semaphore, buildsAtOnce),
		retrying:         make(semaphore, maxRetrying),
	}
	e.background, e.cancelBackground = context.WithCancel(context.Background())
	e.work.Panicked = func(r any) {
		e.log.Error("work in the background panicked", "panic", r, "stack", string(debug.Stack()))
	}
	return e
}

// authorize asks the pre-access callback, before anything is locked or read.
func (e *engine) authorize(c *operation, id string) error {
	callback := e.config.Callbacks.PreAccess
	if callback == nil || c.admitted == id {
		return nil
	}
	_, err := consult(func() (HTTPResponse, error) {
		return HTTPResponse{}, callback(c.ctx, Event{Type: EventPreAccess, Upload: FileInfo{ID: id}, HTTPRequest: c.from.request()})
	})
	if err == nil {
		c.admitted = id
	}
	return err
}

// peek loads an upload for reading only, beside whoever is writing to it. One
// that is being removed is not there, rather than broken: a store removes the
// data and the record one after the other.
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

// checkUsable returns the error that every request on the upload gets in its
// state, if there is one, and wakes the finisher for an upload that has all
// its bytes but was never finished (a crash, another node).
func (e *engine) checkUsable(info *FileInfo) error {
	switch {
	case info.State == StateFailed:
		return failedError(info)
	case e.needsFinish(info):
		e.finishLater(info.ID)
		return ErrUploadFinishing
	}
	return nil
}

// needsFinish tells whether only the server's part is missing. What the IETF
// draft calls incomplete is never full: its length counts as deferred.
func (e *engine) needsFinish(info *FileInfo) bool {
	if info.Complete() || info.State == StateFailed {
		return false
	}
	return info.State == StateFinishing || info.Full()
}

// close interrupts what is running and waits for the work in the background
// until ctx ends.
func (e *engine) close(ctx context.Context) error {
	e.cancelBackground()
	err := e.work.Wait(ctx)
	e.events.close()
	return err
}
