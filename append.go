package tusd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"
)

// appendRequest is a request to add data to an upload, as a dialect has read it.
type appendRequest struct {
	id     string
	offset int64
	length int64 // of the whole upload, in bytes; -1: the request does not say

	// The IETF draft's ways: the length is announced and does not complete
	// the upload, complete does; a body that is too long spoils the upload.
	announces      bool
	complete       bool
	failsIfTooLong bool
	digests        []Digest // that the client wants compared when it is complete
}

// append stores the body at the end of an upload. Beside an error, the
// result's info.Offset is the upload's offset if info.ID is set.
func (e *engine) append(c *operation, req *appendRequest) (operationResult, error) {
	if e.building.Locked(req.id) { // the builder would not let go of the lock
		if info, err := e.authorizedInfo(c, req.id); err != nil || info.IsFinal {
			return operationResult{}, cmp.Or(err, error(ErrModifyFinal))
		}
	}
	c.ctx = &claimedOffset{c.ctx, req.offset}
	h, err := e.acquire(c, req.id)
	if err != nil {
		return operationResult{}, err
	}
	defer h.release()
	complete, before := h.info.Complete(), h.info
	if err := e.checkAppend(c, h, req); err != nil {
		err = e.failOversized(c, h, req.failsIfTooLong, err)
		return operationResult{info: &h.info}, err
	}
	switch {
	case complete:
		h.release() // what is read now is nobody's
		return operationResult{info: &h.info}, c.body.empty()
	case h.info.Full(): // by the length that this request has brought
		err = c.body.empty()
	default:
		err = e.receive(c, h, req.complete)
	}
	if err != nil {
		err = e.revertRecord(h, req, &before, err)
		err = e.failOversized(c, h, req.failsIfTooLong, err)
	}
	return e.finishOrRelease(c, h, err)
}

// checkAppend checks the request against the upload's state and writes down the
// length if the request brings it.
func (e *engine) checkAppend(c *operation, h *lockedUpload, req *appendRequest) error {
	if h.info.IsFinal {
		return ErrModifyFinal
	}
	if err := e.usable(&h.info); err != nil {
		return err
	}
	if req.offset != h.info.Offset {
		return ErrMismatchedOffset
	}
	length, err := e.lengthAfter(c, &h.info, req)
	if err != nil {
		return err
	}
	if err := e.boundBody(c, h.withLength(length)); err != nil {
		return err
	}
	if c.body.length == 0 { // a checksum of nothing may be wrong, too: before anything is written down
		if err := c.body.empty(); err != nil {
			return err
		}
	}
	return e.prepareRecord(h, req, length)
}

// withLength is the upload as it will be with that length, -1 if that is not
// known.
func (h *lockedUpload) withLength(length int64) *FileInfo {
	if length < 0 {
		return &h.info
	}
	info := h.info
	info.KnownLength = &length
	return &info
}

// lengthAfter is the length that the request gives to the upload, -1 if none,
// compared with what was known before.
func (e *engine) lengthAfter(c *operation, info *FileInfo, req *appendRequest) (int64, error) {
	length, known, bad := req.length, info.length(), ErrInvalidUploadLength
	if req.announces {
		bad = ErrInconsistentLength
	}
	if req.complete && c.body.length >= 0 {
		end := info.Offset + c.body.length
		switch {
		case length >= 0 && length != end:
			return -1, bad
		case known >= 0 && end > known:
			return -1, ErrUploadSizeExceeded
		}
		length = end
	}
	switch {
	case length < 0:
		return -1, nil
	case known >= 0 && length != known, length < info.Offset:
		return -1, bad
	case known < 0 && e.tooLarge(length):
		return -1, ErrMaxSizeExceeded
	}
	return length, nil
}

// boundBody bounds the body by what the upload can still take.
func (e *engine) boundBody(c *operation, info *FileInfo) error {
	room, over := e.remaining(info)
	if c.maxContent > 0 && c.maxContent < room {
		room, over = c.maxContent, ErrAppendTooLarge
	}
	return c.body.allow(room, over)
}

// remaining is how many bytes the upload can still take, and what is said about more.
func (e *engine) remaining(info *FileInfo) (int64, *Error) {
	if length := info.length(); length >= 0 {
		return length - info.Offset, ErrUploadSizeExceeded
	}
	if e.config.MaxSize > 0 {
		return e.config.MaxSize - info.Offset, ErrMaxSizeExceeded
	}
	return math.MaxInt64 - info.Offset, ErrMaxSizeExceeded
}

// prepareRecord writes to the record what has to stand there before the data: the
// length, and, if a callback decides about completion, that it has not yet.
func (e *engine) prepareRecord(h *lockedUpload, req *appendRequest, length int64) error {
	err := e.recordLength(h, req, length)
	if err == nil && e.asksPreFinish(h.info) && h.info.State == "" && !h.info.Complete() {
		err = h.setState(h.ctx, StateUploading, nil)
	}
	if err == nil && !h.info.Complete() {
		err = h.wantDigests(req.digests)
	}
	if err != nil {
		return err
	}
	return h.refresh()
}

// recordLength writes down the length that the request gives to the upload.
func (e *engine) recordLength(h *lockedUpload, req *appendRequest, length int64) error {
	switch {
	case length < 0 || !h.info.SizeIsDeferred:
	case !req.announces:
		return e.declareLength(h, length)
	case h.info.KnownLength == nil:
		return h.announceLength(length)
	}
	return nil
}

// revertRecord takes back what prepare has written down, if the content is refused: a
// refused request changes nothing. What only failed is sent again, with the same
// length. It returns err, beside it why it could not.
func (e *engine) revertRecord(h *lockedUpload, req *appendRequest, before *FileInfo, err error) error {
	declared := before.SizeIsDeferred && !h.info.SizeIsDeferred
	announced := before.KnownLength == nil && h.info.KnownLength != nil
	stored := h.info.Offset > before.Offset
	digests := !stored && verifies(req.digests)
	if asError(err).Transient || stored && h.info.Full() || !declared && !announced && !digests {
		return err
	}
	known, kept := before.KnownLength, before.Digests // or before escapes to the heap, in every PATCH
	var failed error
	if declared {
		failed = e.declareLength(h, -1)
	}
	if failed == nil && (announced || digests) {
		failed = h.update(h.ctx, func(info *FileInfo) error {
			info.KnownLength = known
			if digests {
				info.Digests = kept
			}
			return nil
		})
	}
	if failed = cmp.Or(failed, h.refresh()); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// announceLength writes down the length that the client says the upload will have.
func (h *lockedUpload) announceLength(length int64) error {
	return h.update(h.ctx, func(info *FileInfo) error {
		info.KnownLength = &length
		return nil
	})
}

// declareLength fixes the length of an upload; -1 takes that back.
func (e *engine) declareLength(h *lockedUpload, length int64) error {
	if e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	defer h.times.declare.since(time.Now())
	return e.store.LengthDeferrer.DeclareLength(h.ctx, h.upload, length)
}

// setState writes a state to the record.
func (h *lockedUpload) setState(ctx context.Context, state State, failure *Failure) error {
	return h.update(ctx, func(info *FileInfo) error {
		info.State, info.Failure = state, failure
		return nil
	})
}

// failOversized makes an upload unusable whose client has sent more than its length
// or the largest one, where the dialect has it so. It returns err, or why it
// could not.
func (e *engine) failOversized(c *operation, h *lockedUpload, spoils bool, err error) error {
	sent := c.body != nil && c.body.ended() // rather than only announced
	tooLong := errors.Is(err, ErrUploadSizeExceeded) || errors.Is(err, ErrMaxSizeExceeded) && sent
	if !spoils || !tooLong || !h.info.SizeIsDeferred {
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: ErrUploadFailed.Status.IETF}
	if stateErr := h.setState(h.ctx, StateFailed, failure); stateErr != nil {
		return stateErr
	}
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}

// receive stores the body, which is bounded, at the upload's offset, and, if
// complete says so, declares that to be all. h.info tells afterwards what is
// stored, also beside an error.
func (e *engine) receive(c *operation, h *lockedUpload, complete bool) error {
	if err := h.resetLostDigests(); err != nil {
		return err
	}
	start := h.info.Offset
	if e.events.active() {
		c.body.progress = e.progress(c, h.info)
	}
	c.body.run = newRunner(&h.info, c.body.verifier)
	c.body.hashes = hashes(c.body.verifier, c.body.trailing, c.body.run)
	watch := e.watchLease(c.body, h.lease)
	began, waited := time.Now(), c.body.waited
	err := e.writeBody(c, h)
	e.metrics.store.write.Observe(time.Since(began) - (c.body.waited - waited))
	watch.stop()
	e.metrics.BytesReceived.Add(uint64(h.info.Offset - start))
	if err == nil && complete {
		err = e.completeAtOffset(h)
	}
	e.saveDigests(c, h, start)
	if h.info.Offset > start {
		e.publish(c, EventPostReceive, h.info)
	}
	return err
}

// writeBody hands the body to the store: as a whole or not at all if it has a
// proof, piece by piece if somebody is to be told what is stored.
func (e *engine) writeBody(c *operation, h *lockedUpload) error {
	if c.body.verifier != nil {
		n, err := e.writeProven(c, h)
		h.info.Offset += n
		return err
	}
	if c.body.trailing != nil { // not in pieces: what a store has of an earlier one cannot be taken back
		return e.writeTrailing(c, h)
	}
	if c.stored == nil && c.body.run == nil {
		n, err := h.upload.WriteChunk(h.ctx, h.info.Offset, c.body)
		h.info.Offset += n
		return err
	}
	return e.writeSegments(c, h)
}

// writeSegments stores the body so that its progress is known now and then.
func (e *engine) writeSegments(c *operation, h *lockedUpload) error {
	start := h.info.Offset
	for {
		p := &segment{body: c.body, started: time.Now()}
		n, err := h.upload.WriteChunk(h.ctx, h.info.Offset, p)
		h.info.Offset += n
		if err != nil || p.ended {
			return err
		}
		if c.stored != nil {
			c.stored(h.info.Offset)
		}
		e.saveDigests(c, h, start)
	}
}

// The pieces in which a body is stored that somebody follows: of that size and
// time at least, or, if it comes slowly, of what comes in a longer time.
const (
	segmentBytes = 1 << 20
	segmentTime  = time.Second
	slowSegment  = 5 * time.Second
)

// segment is the next part of a body: io.EOF is its end, and that of the body
// only if ended says so.
type segment struct {
	body    *body
	started time.Time
	n       int64
	ended   bool
}

func (p *segment) Read(b []byte) (int, error) {
	if took := time.Since(p.started); p.n >= segmentBytes && took >= segmentTime || p.n > 0 && took >= slowSegment {
		return 0, io.EOF
	}
	n, err := p.body.Read(b)
	p.n += int64(n)
	p.ended = err != nil
	return n, err
}

// completeAtOffset declares that the upload ends where it is now (IETF draft,
// Upload-Complete: ?1).
func (e *engine) completeAtOffset(h *lockedUpload) error {
	if length := h.info.length(); length >= 0 && length != h.info.Offset {
		return ErrInconsistentLength
	}
	if !h.info.SizeIsDeferred {
		return nil
	}
	offset := h.info.Offset
	if err := e.declareLength(h, offset); err != nil {
		return err
	}
	return h.refresh()
}

// watchLease ends the body when the lock is wanted or lost or the server closes. It
// begins when the body has had its slice of time, which most bodies do not
// need. Nothing of it runs any more when stop has returned.
func (e *engine) watchLease(b *body, lease Lease) *leaseWatch {
	w := &leaseWatch{body: b, lease: lease, closing: e.background.Done()}
	w.begin = time.AfterFunc(minReadTime, w.run)
	return w
}

type leaseWatch struct {
	body    *body
	lease   Lease
	closing <-chan struct{}
	begin   *time.Timer

	mu      sync.Mutex
	stopped bool
	done    chan struct{} // closed by stop; nil: run has not begun
	ended   chan struct{} // closed at the end of run; made with done
}

func (w *leaseWatch) run() {
	if !w.begun() {
		return
	}
	defer close(w.ended)
	select {
	case <-w.lease.Preempted():
		w.body.abort(ErrUploadInterrupted)
	case <-w.lease.Context().Done():
		w.body.abort(ErrLockLost)
	case <-w.closing:
		w.body.abort(ErrServerShutdown)
	case <-w.done:
	}
}

// begun prepares for stop, unless that was first.
func (w *leaseWatch) begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.done, w.ended = make(chan struct{}), make(chan struct{})
	}
	return !w.stopped
}

func (w *leaseWatch) stop() {
	if w.begin.Stop() {
		return
	}
	w.mu.Lock()
	w.stopped = true
	running := w.done != nil
	w.mu.Unlock()
	if running {
		close(w.done)
		<-w.ended
	}
}

// finishOrRelease ends a request that has changed an upload and releases it. One that
// has got all its bytes is finished first, which outlives the client; err is
// how the request itself went.
func (e *engine) finishOrRelease(c *operation, h *lockedUpload, err error) (operationResult, error) {
	res := operationResult{info: &h.info}
	if h.info.State == StateFailed || !h.info.Full() {
		h.release()
	} else {
		finished, finishErr := e.finish(h, e.eventRequest(c))
		res.merge(finished)
		if err == nil {
			err = finishErr
		}
	}
	e.catchUpIfBehind(res.info)
	return res, err
}
