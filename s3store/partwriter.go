package s3store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// While parts are being uploaded, the record is stored after this many new
// ones, or after this time.
const (
	recordEvery = 10
	recordAfter = 5 * time.Second
)

// partWriter uploads the parts of one request, several at a time. Their numbers,
// which follow those of the record, are in the order of their bytes. A part is
// recorded once it and all before it are stored.
type partWriter struct {
	u           *upload
	ctx         context.Context // of all calls; ends with the first failure
	stop        context.CancelCauseFunc
	recordEarly bool // record parts as soon as they are stored
	work        sync.WaitGroup

	mu           sync.Mutex
	st           state      // as recorded
	sent         []sentPart // parts that are not recorded
	number       int        // of the next part
	start        int64      // of the next part, in bytes
	numbers      int        // how many numbers were used
	unrecorded   bool       // this request has started the multipart upload, and no record contains it
	recording    bool       // a call of record is due or runs
	lastRecorded time.Time  // when parts were last recorded
	lastChanged  time.Time  // when this request last stored a record or a tail object; at first its start
	err          error      // the first
}

type sentPart struct {
	Part
	stored bool
}

func (u *upload) newPartWriter(ctx context.Context, st state, early bool) *partWriter {
	w := &partWriter{
		u: u, st: st, recordEarly: early, lastRecorded: time.Now(), lastChanged: time.Now(),
		number: st.layout.nextNumber(), start: st.layout.end(),
	}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	return w
}

// next returns the number of the next part and its offset.
func (w *partWriter) next() (number int, start int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.number, w.start
}

// state returns the recorded state.
func (w *partWriter) state() state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st
}

// failure returns the first error.
func (w *partWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// fail stops the writer with an error.
func (w *partWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.stop(err)
	}
}

// lacksMultipart reports whether there is no multipart upload yet.
func (w *partWriter) lacksMultipart() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st.layout.Multipart == ""
}

// send uploads body as the next part in the background. It takes over the
// memory of body.
func (w *partWriter) send(body buffer) error {
	in, err := w.nextPart(body.size)
	if err != nil {
		body.discard()
		return err
	}
	w.work.Go(func() {
		defer body.discard()
		w.run(in.Number, func() (string, error) { return w.u.b.uploadPart(w.ctx, in, body.reader()) })
	})
	return nil
}

// copy makes the next part from a range of an object, in the background.
func (w *partWriter) copy(source string, offset, size int64) error {
	in, err := w.nextPart(size)
	if err != nil {
		return err
	}
	call := CopyPart{Key: in.Key, Multipart: in.Multipart, Number: in.Number, Source: source, Offset: offset, Size: size}
	w.work.Go(func() {
		w.run(in.Number, func() (string, error) {
			return retry(w.ctx, w.u.b, "UploadPartCopy", size, func(ctx context.Context) (string, error) {
				return w.u.b.client.CopyPart(ctx, call)
			})
		})
	})
	return nil
}

// nextPart returns a call for the next part, with a new number. It starts the
// multipart upload if there is none.
func (w *partWriter) nextPart(size int64) (UploadPart, error) {
	if err := w.beginMultipart(); err != nil {
		return UploadPart{}, err
	}
	number, err := w.chooseNumber(size)
	if err != nil {
		return UploadPart{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.numbers++
	w.number, w.start = number+1, w.start+size
	w.sent = append(w.sent, sentPart{Part: Part{Number: number, Size: size}})
	return UploadPart{Key: w.st.dataKey(), Multipart: w.st.layout.Multipart, Number: number, Size: size}, nil
}

// beginMultipart starts the multipart upload if there is none.
func (w *partWriter) beginMultipart() error {
	if !w.lacksMultipart() {
		return nil
	}
	multipart, err := w.u.b.createMultipart(w.ctx, &w.st)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st.layout.Multipart, w.unrecorded = multipart, true
	return nil
}

// run makes the call for a part when an upload slot is free, and records parts
// if that is due.
func (w *partWriter) run(number int, call func() (etag string, err error)) {
	slots := w.u.b.uploadSlots
	select {
	case slots <- struct{}{}:
	case <-w.ctx.Done():
		w.fail(context.Cause(w.ctx))
		return
	}
	etag, err := call()
	<-slots
	if err == nil && w.markStored(number, etag) {
		err = w.record(w.ctx)
	}
	if err != nil {
		w.fail(err)
	}
}

// markStored marks a part as stored, and reports whether the caller must call
// record.
func (w *partWriter) markStored(number int, etag string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.sent, func(p sentPart) bool { return p.Number == number })
	w.sent[i].ETag, w.sent[i].stored = etag, true
	if !w.recordEarly || w.recording || w.recordable() == 0 {
		return false
	}
	w.recording = w.recordable() >= recordEvery || time.Since(w.lastRecorded) > recordAfter
	return w.recording
}

// recordable returns how many parts could be recorded now. The caller holds
// w.mu.
func (w *partWriter) recordable() int {
	n := slices.IndexFunc(w.sent, func(p sentPart) bool { return !p.stored })
	if n < 0 {
		return len(w.sent)
	}
	return n
}

// record stores a record with the stored parts, up to the first that is
// missing. Calls do not overlap.
func (w *partWriter) record(ctx context.Context) error {
	w.mu.Lock()
	n := w.recordable()
	if n == 0 {
		w.recording, w.lastRecorded = false, time.Now()
		w.mu.Unlock()
		return nil
	}
	w.mu.Unlock()
	return w.recordFirst(ctx, n)
}

// recordFirst stores a record with the first n of the unrecorded parts.
func (w *partWriter) recordFirst(ctx context.Context, n int) error {
	w.mu.Lock()
	next := w.st
	next.layout.Parts = slices.Clone(next.layout.Parts)
	for _, p := range w.sent[:n] {
		next.layout.Parts = append(next.layout.Parts, p.Part)
	}
	w.mu.Unlock()
	err := w.u.storeRecord(ctx, next)
	unrecorded := w.isUnrecorded(ctx, next.layout.Multipart, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recording, w.lastRecorded, w.lastChanged = false, time.Now(), time.Now()
	w.unrecorded = w.unrecorded && unrecorded
	if err == nil {
		w.st, w.sent = w.u.current(), w.sent[n:]
	}
	return err
}

// own makes the record one that no other process knows: it stores it again unless this
// process has stored it. It is called before an object is stored that counts without a new
// record. Otherwise the record of a process that has lost its lease, and does not know, would be
// accepted later, and could hide the object.
func (w *partWriter) own(ctx context.Context) error {
	w.mu.Lock()
	if w.st.ours || len(w.sent) > 0 || !w.u.b.conditions.replace { // a record follows that contains the parts
		w.mu.Unlock()
		return nil
	}
	w.recording = true
	w.mu.Unlock()
	return w.recordFirst(ctx, 0)
}

// touch stores the record again if this request has changed nothing in the store for that
// time, and reports whether it did.
func (w *partWriter) touch(ctx context.Context, after time.Duration) (bool, error) {
	w.mu.Lock()
	if w.recording || time.Since(w.lastChanged) < after {
		w.mu.Unlock()
		return false, nil
	}
	n := 0
	if w.recordEarly {
		n = w.recordable()
	}
	w.recording = true
	w.mu.Unlock()
	return true, w.recordFirst(ctx, n)
}

// addTailObject adds a stored tail object to the state.
func (w *partWriter) addTailObject(p tailObject) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st.tailObjects = withTailObject(w.st.tailObjects, p)
	w.st.setChanged()
	w.lastChanged = time.Now()
	if len(w.sent) == 0 {
		w.u.setState(w.st)
	}
}

// isUnrecorded reports whether no record contains the multipart upload although
// storing the record returned err: another process was faster. After other
// errors the record may be stored.
func (w *partWriter) isUnrecorded(ctx context.Context, multipart string, err error) bool {
	if !isRefusedCondition(err) {
		return false
	}
	st, err := w.u.b.load(ctx, w.u.id)
	return err == nil && st.layout.Multipart != multipart
}

// wait waits for the parts in the background, and returns the first error.
func (w *partWriter) wait() error {
	w.work.Wait()
	return w.failure()
}

// close waits for the parts in the background, and drops those that are not
// recorded. ctx is for the call that aborts an unused multipart upload; it ends
// with the lease, not with the request.
func (w *partWriter) close(ctx context.Context) {
	w.work.Wait()
	w.stop(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) > 0 && !w.u.isStale() {
		st := w.u.current()
		st.maxLateNumber = w.number - 1
		w.u.setState(st)
	}
	w.sent = nil
	if !w.unrecorded {
		return
	}
	if err := w.u.b.abort(ctx, w.st.dataKey(), w.st.layout.Multipart); err != nil {
		w.u.b.log.Warn("cannot abort an unused multipart upload", "id", w.u.id, "err", err)
	}
	w.st.layout.Multipart, w.unrecorded = "", false
}

// setState replaces the recorded state.
func (w *partWriter) setState(st state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st = st
	w.u.setState(st)
}
