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

// partWriter uploads the parts of one request, in order, behind those that the
// record has. A part is recorded once it and all before it are stored.
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
	lastRecorded time.Time  // when parts were last listed
	err          error      // the first
}

type sentPart struct {
	Part
	stored bool
}

func (u *upload) newPartWriter(ctx context.Context, st state, early bool) *partWriter {
	l := &partWriter{
		u: u, st: st, recordEarly: early, lastRecorded: time.Now(),
		number: st.layout.nextNumber(), start: st.layout.end(),
	}
	l.ctx, l.stop = context.WithCancelCause(ctx)
	return l
}

// next returns the number of the next part and its offset.
func (l *partWriter) next() (number int, start int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number, l.start
}

// state returns the recorded state.
func (l *partWriter) state() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st
}

// failure returns the first error.
func (l *partWriter) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail stops the writer with an error.
func (l *partWriter) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.stop(err)
	}
}

// lacksMultipart reports whether there is no multipart upload yet.
func (l *partWriter) lacksMultipart() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st.layout.Multipart == ""
}

// send uploads body as the next part in the background. It takes over the
// memory of body.
func (l *partWriter) send(body buffer) error {
	in, err := l.nextPart(body.size)
	if err != nil {
		body.discard()
		return err
	}
	l.work.Go(func() {
		defer body.discard()
		l.run(in.Number, func() (string, error) { return l.u.b.uploadPart(l.ctx, in, body.reader()) })
	})
	return nil
}

// copy makes the next part from a range of an object, in the background.
func (l *partWriter) copy(source string, offset, size int64) error {
	in, err := l.nextPart(size)
	if err != nil {
		return err
	}
	call := CopyPart{Key: in.Key, Multipart: in.Multipart, Number: in.Number, Source: source, Offset: offset, Size: size}
	l.work.Go(func() {
		l.run(in.Number, func() (string, error) {
			return retry(l.ctx, l.u.b, "UploadPartCopy", size, func(ctx context.Context) (string, error) {
				return l.u.b.client.CopyPart(ctx, call)
			})
		})
	})
	return nil
}

// nextPart returns a call for the next part, with a new number. It starts the
// multipart upload if there is none.
func (l *partWriter) nextPart(size int64) (UploadPart, error) {
	if err := l.beginMultipart(); err != nil {
		return UploadPart{}, err
	}
	number, err := l.chooseNumber(size)
	if err != nil {
		return UploadPart{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers++
	l.number, l.start = number+1, l.start+size
	l.sent = append(l.sent, sentPart{Part: Part{Number: number, Size: size}})
	return UploadPart{Key: l.st.dataKey(), Multipart: l.st.layout.Multipart, Number: number, Size: size}, nil
}

// beginMultipart starts the multipart upload if there is none.
func (l *partWriter) beginMultipart() error {
	if !l.lacksMultipart() {
		return nil
	}
	multipart, err := l.u.b.createMultipart(l.ctx, &l.st)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st.layout.Multipart, l.unrecorded = multipart, true
	return nil
}

// run makes the call for a part when an upload slot is free, and records parts
// if that is due.
func (l *partWriter) run(number int, call func() (etag string, err error)) {
	turns := l.u.b.uploadSlots
	select {
	case turns <- struct{}{}:
	case <-l.ctx.Done():
		l.fail(context.Cause(l.ctx))
		return
	}
	etag, err := call()
	<-turns
	if err == nil && l.markStored(number, etag) {
		err = l.record(l.ctx)
	}
	if err != nil {
		l.fail(err)
	}
}

// markStored marks a part as stored, and reports whether the caller must call
// record.
func (l *partWriter) markStored(number int, etag string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.sent, func(p sentPart) bool { return p.Number == number })
	l.sent[i].ETag, l.sent[i].stored = etag, true
	if !l.recordEarly || l.recording || l.recordable() == 0 {
		return false
	}
	l.recording = l.recordable() >= recordEvery || time.Since(l.lastRecorded) > recordAfter
	return l.recording
}

// recordable returns how many parts could be recorded now. The caller holds
// l.mu.
func (l *partWriter) recordable() int {
	n := slices.IndexFunc(l.sent, func(p sentPart) bool { return !p.stored })
	if n < 0 {
		return len(l.sent)
	}
	return n
}

// record stores a record with the stored parts, up to the first that is
// missing. Calls do not overlap.
func (l *partWriter) record(ctx context.Context) error {
	l.mu.Lock()
	n := l.recordable()
	next := l.st
	next.layout.Parts = slices.Clone(next.layout.Parts)
	for _, p := range l.sent[:n] {
		next.layout.Parts = append(next.layout.Parts, p.Part)
	}
	l.mu.Unlock()
	var err error
	vain := n == 0
	if n > 0 {
		err = l.u.storeRecord(ctx, next)
		vain = l.isUnrecorded(ctx, next.layout.Multipart, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recording, l.lastRecorded = false, time.Now()
	l.unrecorded = l.unrecorded && vain
	if err == nil && n > 0 {
		l.st, l.sent = l.u.current(), l.sent[n:]
	}
	return err
}

// addTailObject adds a stored tail object to the state.
func (l *partWriter) addTailObject(p tailObject) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st.tailObjects = withTailObject(l.st.tailObjects, p)
	if len(l.sent) == 0 {
		l.u.setState(l.st)
	}
}

// isUnrecorded reports whether no record contains the multipart upload although
// storing the record returned err: another process was faster. After other
// errors the record may be stored.
func (l *partWriter) isUnrecorded(ctx context.Context, multipart string, err error) bool {
	if !isRefusedCondition(err) {
		return false
	}
	st, err := l.u.b.load(ctx, l.u.id)
	return err == nil && st.layout.Multipart != multipart
}

// wait waits for the parts in the background, and returns the first error.
func (l *partWriter) wait() error {
	l.work.Wait()
	return l.failure()
}

// close waits for the parts in the background, and drops those that are not
// recorded. ctx is for the call that aborts an unused multipart upload; it ends
// with the lease, not with the request.
func (l *partWriter) close(ctx context.Context) {
	l.work.Wait()
	l.stop(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent) > 0 && !l.u.isStale() {
		st := l.u.current()
		st.maxLateNumber = l.number - 1
		l.u.setState(st)
	}
	l.sent = nil
	if !l.unrecorded {
		return
	}
	if err := l.u.b.abort(ctx, l.st.dataKey(), l.st.layout.Multipart); err != nil {
		l.u.b.log.Warn("cannot abort a multipart upload that was begun in vain", "id", l.u.id, "err", err)
	}
	l.st.layout.Multipart, l.unrecorded = "", false
}

// setState replaces the recorded state.
func (l *partWriter) setState(st state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st = st
	l.u.setState(st)
}
