package tusd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// receive stores the body, whose size is limited, at the upload's offset. If complete
// is set, it also declares that the upload ends there. Afterwards u.info has the stored
// offset, also with an error.
func (e *engine) receive(op *operation, u *lockedUpload, complete bool) error {
	if err := u.resetLostDigests(); err != nil {
		return err
	}
	e.intendFinish(op, u)
	start := u.info.Offset
	var progress *progress
	if e.events.tellsProgress() {
		progress = e.newProgress(op, u)
		defer progress.stop()
		op.body.progress = progress.received
	}
	op.body.digests = newRunner(&u.info, op.body.verifier)
	op.body.hashes = hashes(op.body.verifier, op.body.trailing, op.body.digests)
	err := e.writeRunning(op, u)
	if err == nil && complete {
		err = e.completeAtOffset(u)
	}
	e.saveDigests(op, u, start)
	progress.end(&u.info)
	return err
}

// progress publishes the post-receive events of a request: one for each Config.ProgressInterval in
// which content arrives, also if the client is silent afterwards, and one at its end. Their
// Offset counts received bytes. If the request fails, fewer may be stored.
type progress struct {
	e       *engine
	ctx     context.Context // of the lease
	request HTTPRequest
	start   int64 // the offset of the upload before the request

	mu    sync.Mutex
	info  FileInfo    // with the last offset
	told  int64       // the offset of the last event
	last  time.Time   // its time, or that of the start
	timer *time.Timer // waits for the next event; nil: none is due
	ended bool
}

func (e *engine) newProgress(op *operation, u *lockedUpload) *progress {
	return &progress{
		e: e, ctx: u.lease.Context(), request: op.from.request(), start: u.info.Offset,
		info: u.info, told: u.info.Offset, last: time.Now(),
	}
}

// received notes that n bytes of the request have arrived.
func (p *progress) received(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.info.Offset = p.start + n
	switch wait := p.e.config.ProgressInterval - time.Since(p.last); {
	case wait <= 0:
		p.publish()
	case p.timer == nil:
		p.timer = time.AfterFunc(wait, p.overdue)
	}
}

// overdue publishes what has arrived since the last event.
func (p *progress) overdue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer = nil; !p.ended {
		p.publish()
	}
}

// end publishes the offset that is stored in the end, if it is news. p may be nil.
func (p *progress) end(info *FileInfo) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.info = *info; p.info.Offset > p.start {
		p.publish()
	}
	p.ended = true
}

// stop makes sure that no event follows, also after a panic.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.stopTimer()
}

// stopTimer stops the timer. The caller holds mu.
func (p *progress) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// publish publishes the offset if it is news. The caller holds mu.
func (p *progress) publish() {
	if p.info.Offset == p.told {
		return
	}
	p.stopTimer()
	p.last, p.told = time.Now(), p.info.Offset
	event := Event{Type: EventPostReceive, Time: p.e.now().UTC(), Upload: p.info, HTTPRequest: p.request}
	p.e.events.publish(p.ctx, event)
	p.e.deliveries.add(event, SideRecordKey{}, event.Time)
}

// writeRunning is writeBody while the body can be stopped: by a newer request, by a lost
// lock, and by stopRunning.
func (e *engine) writeRunning(op *operation, u *lockedUpload) error {
	began, waited := time.Now(), op.body.waited
	op.reception = reception{id: u.id, offset: u.info.Offset, since: began, op: op}
	op.body.counter = &e.metrics.BytesReceived
	e.running.add(&op.reception)
	defer e.running.remove(&op.reception)
	defer e.watchLease(op.body, u.lease)()
	err := e.writeBody(op, u)
	e.metrics.store.write.Observe(time.Since(began) - (op.body.waited - waited))
	return err
}

// writeBody passes the body to the store: all or nothing if it has a checksum, in
// segments if its progress or its digests are recorded, and otherwise in one call.
func (e *engine) writeBody(op *operation, u *lockedUpload) error {
	if op.body.verifier != nil {
		n, err := e.writeVerified(op, u)
		u.info.Offset += n
		return err
	}
	if op.body.trailing != nil { // not in segments: earlier segments could not be undone
		return e.writeTrailing(op, u)
	}
	if op.onStored == nil && op.body.digests == nil {
		n, err := u.upload.WriteChunk(u.ctx, u.info.Offset, op.body)
		u.info.Offset += n
		return err
	}
	return e.writeSegments(op, u)
}

// writeSegments stores the body in segments, so that its progress is known meanwhile.
func (e *engine) writeSegments(op *operation, u *lockedUpload) error {
	start := u.info.Offset
	for {
		s := &segment{body: op.body, started: time.Now()}
		n, err := u.upload.WriteChunk(u.ctx, u.info.Offset, s)
		u.info.Offset += n
		if err != nil || s.ended {
			return err
		}
		if op.onStored != nil {
			op.onStored(u.info.Offset)
		}
		e.saveDigests(op, u, start)
	}
}

// The size of segments: at least segmentBytes and segmentTime, or, if the body arrives
// slowly, what arrives in slowSegment.
const (
	segmentBytes = 1 << 20
	segmentTime  = time.Second
	slowSegment  = 5 * time.Second
)

// segment reads the next segment of a body. It ends with io.EOF; ended reports whether
// the body has ended, too.
type segment struct {
	body    *body
	started time.Time
	n       int64
	ended   bool
}

func (s *segment) Read(b []byte) (int, error) {
	if took := time.Since(s.started); s.n >= segmentBytes && took >= segmentTime || s.n > 0 && took >= slowSegment {
		return 0, io.EOF
	}
	n, err := s.body.Read(b)
	s.n += int64(n)
	s.ended = err != nil
	return n, err
}

// completeAtOffset declares that the upload ends at its current offset (IETF draft,
// Upload-Complete: ?1).
func (e *engine) completeAtOffset(u *lockedUpload) error {
	if length := u.info.length(); length >= 0 && length != u.info.Offset {
		return ErrInconsistentLength
	}
	if !u.info.SizeIsDeferred {
		return nil
	}
	offset := u.info.Offset
	if err := e.declareLength(u, offset); err != nil {
		return err
	}
	return u.refresh(u.ctx)
}

// writeTrailing stores a body that may have an unannounced checksum in its trailers,
// and verifies that checksum.
func (e *engine) writeTrailing(op *operation, u *lockedUpload) error {
	start, trailing := u.info.Offset, op.body.trailing
	n, err := u.upload.WriteChunk(u.ctx, start, op.body)
	u.info.Offset += n
	if !errors.Is(err, ErrUnverified) {
		return err
	}
	if trailing.tail != nil {
		ctx := u.lease.Context() // the client may disconnect: stored content is verified nevertheless
		if err = trailing.verifyStored(ctx, u, start, op.body.received.Load()); err == nil {
			n, err = u.upload.WriteChunk(ctx, u.info.Offset, bytes.NewReader(trailing.tail))
			u.info.Offset += n
			return err
		}
	}
	return e.rewind(u, start, err)
}

// verifyStored verifies a body of n bytes that is stored from start on, except for its
// tail.
func (t *trailingChecksum) verifyStored(ctx context.Context, u *lockedUpload, start, n int64) error {
	if u.info.Offset != start+n-int64(len(t.tail)) {
		return errors.New("the store has less than was read")
	}
	sums := t.newHashes()
	for _, s := range sums {
		if err := hashStored(ctx, s.hash, u.upload, start, u.info.Offset); err != nil {
			return err
		}
		s.hash.Write(t.tail)
	}
	return t.compare(sums)
}

// rewind cuts off the content of a refused body that is stored since start. It returns
// err. If the content cannot be cut off, the upload fails: it would keep bytes that are
// wrong.
func (e *engine) rewind(u *lockedUpload, start int64, err error) error {
	ctx := u.lease.Context()
	rewindErr := errors.New("the store cannot take content back")
	if e.store.Rewinder != nil {
		rewindErr = e.store.Rewinder.Rewind(ctx, u.upload, start)
	} else if u.info.Offset == start {
		return err
	}
	if rewindErr == nil {
		u.info.Offset = start
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: statusFor(ErrUploadFailed, u.info.Dialect, "")}
	if stateErr := u.setState(ctx, StateFailed, failure); stateErr != nil {
		return errors.Join(ErrInternal.With(rewindErr), stateErr)
	}
	e.log.Warn("an upload has failed: content that does not match its checksum cannot be rolled back", "id", u.id, "err", rewindErr)
	if u.info.IsPartial {
		e.wakeFinals(&u.info)
	}
	return errors.Join(err, u.refresh(u.ctx))
}
