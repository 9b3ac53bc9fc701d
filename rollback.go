package tusd

import (
	"bytes"
	"context"
	"errors"
)

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
	e.log.Warn("an upload has failed: content that does not match its checksum cannot be taken back", "id", h.id, "err", rewindErr)
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}
