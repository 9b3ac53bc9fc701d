package tusd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// receive stores the body, whose size is limited, at the upload's offset. If complete
// is set, it also declares that the upload ends there. Afterwards h.info has the stored
// offset, also with an error.
func (e *engine) receive(c *operation, h *lockedUpload, complete bool) error {
	if err := h.resetLostDigests(); err != nil {
		return err
	}
	start := h.info.Offset
	if e.events.active() {
		c.body.progress = e.progress(c, h.info)
	}
	c.body.digests = newRunner(&h.info, c.body.verifier)
	c.body.hashes = hashes(c.body.verifier, c.body.trailing, c.body.digests)
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

// writeBody passes the body to the store: all or nothing if it has a checksum, in
// segments if its progress or its digests are recorded, and otherwise in one call.
func (e *engine) writeBody(c *operation, h *lockedUpload) error {
	if c.body.verifier != nil {
		n, err := e.writeVerified(c, h)
		h.info.Offset += n
		return err
	}
	if c.body.trailing != nil { // not in segments: earlier segments could not be undone
		return e.writeTrailing(c, h)
	}
	if c.onStored == nil && c.body.digests == nil {
		n, err := h.upload.WriteChunk(h.ctx, h.info.Offset, c.body)
		h.info.Offset += n
		return err
	}
	return e.writeSegments(c, h)
}

// writeSegments stores the body in segments, so that its progress is known meanwhile.
func (e *engine) writeSegments(c *operation, h *lockedUpload) error {
	start := h.info.Offset
	for {
		s := &segment{body: c.body, started: time.Now()}
		n, err := h.upload.WriteChunk(h.ctx, h.info.Offset, s)
		h.info.Offset += n
		if err != nil || s.ended {
			return err
		}
		if c.onStored != nil {
			c.onStored(h.info.Offset)
		}
		e.saveDigests(c, h, start)
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

// writeTrailing stores a body that may have an unannounced checksum in its trailers,
// and verifies that checksum.
func (e *engine) writeTrailing(c *operation, h *lockedUpload) error {
	start, trailing := h.info.Offset, c.body.trailing
	n, err := h.upload.WriteChunk(h.ctx, start, c.body)
	h.info.Offset += n
	if !errors.Is(err, ErrUnverified) {
		return err
	}
	if trailing.tail != nil {
		ctx := h.lease.Context() // the client may disconnect: stored content is verified nevertheless
		if err = trailing.verifyStored(ctx, h, start, c.body.n); err == nil {
			n, err = h.upload.WriteChunk(ctx, h.info.Offset, bytes.NewReader(trailing.tail))
			h.info.Offset += n
			return err
		}
	}
	return e.rewind(h, start, err)
}

// verifyStored verifies a body of n bytes that is stored from start on, except for its
// tail.
func (t *trailingChecksum) verifyStored(ctx context.Context, h *lockedUpload, start, n int64) error {
	if h.info.Offset != start+n-int64(len(t.tail)) {
		return errors.New("the store has less than was read")
	}
	sums := t.newHashes()
	for _, s := range sums {
		if err := hashStored(ctx, s.hash, h.upload, start, h.info.Offset); err != nil {
			return err
		}
		s.hash.Write(t.tail)
	}
	return t.compare(sums)
}

// rewind cuts off the content of a refused body that is stored since start. It returns
// err. If the content cannot be cut off, the upload fails: it would keep bytes that are
// wrong.
func (e *engine) rewind(h *lockedUpload, start int64, err error) error {
	ctx := h.lease.Context()
	rewindErr := errors.New("the store cannot take content back")
	if e.store.Rewinder != nil {
		rewindErr = e.store.Rewinder.Rewind(ctx, h.upload, start)
	} else if h.info.Offset == start {
		return err
	}
	if rewindErr == nil {
		h.info.Offset = start
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: statusFor(ErrUploadFailed, h.info.Dialect, "")}
	if stateErr := h.setState(ctx, StateFailed, failure); stateErr != nil {
		return errors.Join(ErrInternal.With(rewindErr), stateErr)
	}
	e.log.Warn("an upload has failed: content that does not match its checksum cannot be rolled back", "id", h.id, "err", rewindErr)
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}
