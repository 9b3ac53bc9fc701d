package tusd

import (
	"context"
	"math"
)

// appending is a request to add data to an upload, as a dialect has read it.
type appending struct {
	id     string
	offset int64
	length int64 // of the whole upload, in bytes; -1: the request does not say
}

// append stores the body at the end of an upload. Beside an error, the
// result's info.Offset is the upload's offset if info.ID is set.
func (e *engine) append(c *call, req appending) (result, error) {
	if e.building.busy(req.id) { // the builder would not let go of the lock
		if err := e.known(c, req.id); err != nil {
			return result{}, err
		}
		return result{}, ErrModifyFinal
	}
	h, err := e.take(c, req.id)
	if err != nil {
		return result{}, err
	}
	if err := e.admit(c, h, req); err != nil {
		h.release()
		return result{info: h.info}, err
	}
	if h.info.Complete() {
		h.release()
		return result{info: h.info}, c.body.empty()
	}
	err = e.receive(c, h)
	res := result{info: h.info}
	finished, finishErr := e.settle(c, h)
	res.merge(finished)
	if err == nil {
		err = finishErr
	}
	return res, err
}

// admit checks the request against the upload's state and declares its
// length if the request brings it.
func (e *engine) admit(c *call, h *hold, req appending) error {
	if h.info.IsFinal {
		return ErrModifyFinal
	}
	if err := e.usable(h.info); err != nil {
		return err
	}
	if req.offset != h.info.Offset {
		return ErrMismatchedOffset
	}
	if err := e.checkLength(h.info, req.length); err != nil {
		return err
	}
	info := h.info
	if req.length >= 0 {
		info.Size, info.SizeIsDeferred = req.length, false
	}
	if err := c.body.allow(e.room(info)); err != nil {
		return err
	}
	return e.prepare(h, req.length)
}

// checkLength compares a length that a request brings with what is known.
func (e *engine) checkLength(info FileInfo, length int64) error {
	switch {
	case length < 0:
		return nil
	case !info.SizeIsDeferred && length != info.Size, length < info.Offset:
		return ErrInvalidUploadLength
	case info.SizeIsDeferred && e.tooLarge(length):
		return ErrMaxSizeExceeded
	}
	return nil
}

// room is how many bytes the upload can still take, and what is said about more.
func (e *engine) room(info FileInfo) (int64, *Error) {
	switch {
	case !info.SizeIsDeferred:
		return info.Size - info.Offset, ErrUploadSizeExceeded
	case e.config.MaxSize > 0:
		return e.config.MaxSize - info.Offset, ErrMaxSizeExceeded
	}
	return math.MaxInt64 - info.Offset, ErrMaxSizeExceeded
}

// prepare writes to the record what has to stand there before the data: the
// length, and, if a callback decides about completion, that it has not yet.
func (e *engine) prepare(h *hold, length int64) error {
	if length >= 0 && h.info.SizeIsDeferred {
		if e.store.LengthDeferrer == nil {
			return ErrNotImplemented
		}
		if err := e.store.LengthDeferrer.DeclareLength(h.ctx, h.upload, length); err != nil {
			return err
		}
	}
	if e.confirms(h.info) && h.info.State == "" && !h.info.Complete() {
		if err := h.setState(h.ctx, StateUploading, nil); err != nil {
			return err
		}
	}
	return h.refresh()
}

// setState writes a state to the record.
func (h *hold) setState(ctx context.Context, state State, failure *Failure) error {
	return h.upload.UpdateInfo(ctx, func(info *FileInfo) error {
		info.State, info.Failure = state, failure
		return nil
	})
}

// receive stores the body at the upload's offset. h.info tells afterwards
// what is stored, also beside an error.
func (e *engine) receive(c *call, h *hold) error {
	if err := c.body.allow(e.room(h.info)); err != nil {
		return err
	}
	if e.events.active() {
		c.body.progress = e.progress(c, h.info)
	}
	stop := e.watch(c.body, h.lease)
	n, err := h.upload.WriteChunk(h.ctx, h.info.Offset, c.body)
	stop()
	h.info.Offset += n
	e.metrics.BytesReceived.Add(uint64(n))
	if n > 0 {
		e.publish(c, EventPostReceive, h.info)
	}
	return err
}

// watch ends the body when the lock is wanted or lost or the server closes.
// Nothing of it runs any more when stop has returned.
func (e *engine) watch(b *body, lease Lease) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-lease.Wanted():
			b.abort(ErrUploadInterrupted)
		case <-lease.Context().Done():
			b.abort(ErrLockLost)
		case <-e.background.Done():
			b.abort(ErrServerShutdown)
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// settle ends a request that has changed an upload and releases it. One that
// has got all its bytes is finished first, which outlives the client.
func (e *engine) settle(c *call, h *hold) (result, error) {
	if !e.unfinished(h.info) && !h.info.Complete() {
		h.release()
		return result{}, nil
	}
	return e.finish(h, e.origin(c))
}
