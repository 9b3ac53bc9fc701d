package tusd

import (
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
