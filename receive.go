package tusd

import (
	"io"
	"time"
)

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

// writeBody hands the body to the store: as a whole or not at all if it has a
// proof, piece by piece if somebody is to be told what is stored.
func (e *engine) writeBody(c *operation, h *lockedUpload) error {
	if c.body.verifier != nil {
		n, err := e.writeVerified(c, h)
		h.info.Offset += n
		return err
	}
	if c.body.trailing != nil { // not in pieces: what a store has of an earlier one cannot be taken back
		return e.writeTrailing(c, h)
	}
	if c.onStored == nil && c.body.digests == nil {
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

func (s *segment) Read(b []byte) (int, error) {
	if took := time.Since(s.started); s.n >= segmentBytes && took >= segmentTime || s.n > 0 && took >= slowSegment {
		return 0, io.EOF
	}
	n, err := s.body.Read(b)
	s.n += int64(n)
	s.ended = err != nil
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
