package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tus/tusd"
)

// slowPart is how long a body may hold memory for a part that it does not
// fill while others wait for memory.
const slowPart = time.Second

// WriteChunk implements tusd.Upload.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	err := u.write(ctx, offset, src, false)
	return max(0, u.current().info.Offset-offset), failed("write to upload", u.id, err)
}

// WriteAtomic implements tusd.AtomicWriter.
func (s *Store) WriteAtomic(ctx context.Context, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u, err := ours(up)
	if err != nil {
		return 0, err
	}
	if err := u.write(ctx, offset, src, true); err != nil {
		return 0, failed("write to upload", u.id, err)
	}
	return u.current().info.Offset - offset, nil
}

// chunk is one body on its way into an upload.
type chunk struct {
	u      *upload
	b      *bucket
	ctx    context.Context // ends with the request's and with the lease
	line   *line
	atomic bool  // nothing may count before the body has ended well
	limit  int64 // where the upload ends at the latest
	at     int64 // where the bytes that have come end
	body   buffer
	since  time.Time // when body got its first memory
}

// write stores src behind what is there.
func (u *upload) write(ctx context.Context, offset int64, src io.Reader, atomic bool) error {
	st, err := u.begin(ctx)
	if err != nil {
		return err
	}
	if has := st.offset(); has != offset {
		return tusd.ErrMismatchedOffset.With(fmt.Errorf("the upload has %d bytes, not %d", has, offset))
	}
	held, stop := u.underLease(ctx)
	defer stop()
	if st, err = u.removeStrays(held, st); err != nil {
		return err
	}
	c := &chunk{
		u: u, b: u.b, ctx: held, atomic: atomic, at: offset, limit: u.b.plan.largest(),
		line: u.newLine(held, st, !atomic), body: buffer{pool: u.b.memory},
	}
	if length := st.length(); length >= 0 {
		c.limit = length
	}
	defer c.line.forget(u.lease.Context())
	defer c.body.discard()
	return c.end(c.receive(src))
}

// removeStrays removes pieces that do not count: bytes that are stored behind
// what is listed now could make them count.
func (u *upload) removeStrays(ctx context.Context, st state) (state, error) {
	strays := st.strays()
	if len(strays) == 0 {
		return st, nil
	}
	if err := u.makeSure(ctx); err != nil { // they may count by now
		return st, err
	}
	if err := u.b.remove(ctx, keysOf(strays)...); err != nil {
		u.doubt()
		return st, fmt.Errorf("remove pieces that do not count: %w", err)
	}
	st.pieces = without(st.pieces, strays)
	u.become(st)
	return st, nil
}

// receive reads src and sends what makes a part, until the end of src, an
// error, or the end of the context.
func (c *chunk) receive(src io.Reader) error {
	for {
		space, err := c.space()
		if err != nil {
			return err
		}
		n, readErr := src.Read(space)
		if c.line.ctx.Err() != nil {
			return context.Cause(c.line.ctx)
		}
		if err := c.u.usable(c.ctx); err != nil { // c.ctx ends a moment after the lease
			return err
		}
		if n > 0 && c.at == c.limit {
			return tusd.ErrUploadSizeExceeded.With(fmt.Errorf("the source goes beyond %d bytes", c.limit))
		}
		c.body.filled(n)
		c.at += int64(n)
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// space returns where the next bytes go, after sending a part or a piece if
// that is what makes room.
func (c *chunk) space() ([]byte, error) {
	if c.at == c.limit {
		return make([]byte, 1), nil // only to see the end
	}
	for {
		number, start := c.line.next()
		needed, target, err := c.sizes(number, start)
		if err != nil {
			return nil, err
		}
		st := c.line.state()
		tail := sizeOf(st.tail(start))
		switch {
		case tail+c.body.size >= target:
			err = c.sendPart()
		case c.body.reserved == 0:
			err = c.reserve(tail, needed)
		case c.isSlow():
			err = c.makeRoom(tail, needed)
		default:
			if space := c.body.space(tail); space != nil {
				return space[:min(int64(len(space)), target-tail-c.body.size, c.limit-c.at)], nil
			}
			err = c.makeRoom(tail, needed)
		}
		if err != nil {
			return nil, err
		}
	}
}

// sizes returns the least and the wanted size of a part.
func (c *chunk) sizes(number int, start int64) (needed, target int64, err error) {
	st := c.line.state()
	if size := st.content.PartSize; size > 0 {
		return size, size, c.checkEqual(number, size)
	}
	if needed, err = c.b.plan.needed(number, start, st.length()); err != nil {
		return 0, 0, err
	}
	return needed, max(needed, c.b.plan.preferred), nil
}

func (c *chunk) checkEqual(number int, size int64) error {
	if number > c.b.plan.maxParts {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("%d parts of %d bytes are full", c.b.plan.maxParts, size))
	}
	return nil
}

// reserve waits for memory for the tail and the bytes to come. A body that
// counts as a whole or not at all cannot be put aside half-way and gets the
// memory for a part at once; others get as much if memory is short.
func (c *chunk) reserve(tail, needed int64) error {
	least := inBlocks(tail) + blockSize
	c.since = time.Now()
	if !c.atomic && c.b.memory.tryReserve(least) {
		c.body.reserved = least
		return nil
	}
	err := c.body.reserve(c.ctx, max(least, inBlocks(needed)+blockSize))
	c.since = time.Now()
	return err
}

// isSlow tells whether the body holds memory for long that others wait for.
func (c *chunk) isSlow() bool {
	return !c.atomic && c.body.size > 0 && time.Since(c.since) > slowPart && c.b.memory.contended()
}

// makeRoom sends what has come: as a part if it is enough, else as a piece.
func (c *chunk) makeRoom(tail, needed int64) error {
	st := c.line.state()
	if c.atomic || st.content.PartSize == 0 && tail+c.body.size >= needed {
		return c.sendPart()
	}
	if err := c.line.wait(); err != nil {
		return err
	}
	if err := c.line.list(c.ctx); err != nil {
		return err
	}
	return c.putPiece()
}

// sendPart makes a part of the tail and the body.
func (c *chunk) sendPart() error {
	body, err := c.withTail()
	if err != nil {
		return err
	}
	return c.line.send(body)
}

// withTail takes the body, with the pieces before it at its beginning.
func (c *chunk) withTail() (buffer, error) {
	_, start := c.line.next()
	st := c.line.state()
	tail := st.tail(start)
	if c.body.reserved == 0 {
		if err := c.body.reserve(c.ctx, sizeOf(tail)); err != nil {
			return buffer{}, err
		}
	}
	body := c.body.take()
	if err := c.b.readPieces(c.line.ctx, tail, &body); err != nil {
		body.discard()
		c.u.doubt() // somebody else may have put them into a part
		return buffer{}, fmt.Errorf("read the pieces before a part: %w", err)
	}
	return body, nil
}

// putPiece stores the body as a piece. All parts before it are listed, or it
// does not count until they are.
func (c *chunk) putPiece() error {
	if c.body.size == 0 {
		c.body.discard()
		return nil
	}
	p, err := c.b.putPiece(c.ctx, c.u.id, c.at-c.body.size, &c.body)
	if err != nil {
		c.u.doubt()
		if isRefusedCondition(err) {
			err = overtaken(err)
		}
		return err
	}
	c.body.discard()
	c.line.add(p)
	return nil
}

// add notes that a piece is stored.
func (l *line) add(p piece) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st.pieces = withPiece(l.st.pieces, p)
	if len(l.sent) == 0 {
		l.u.become(l.st)
	}
}

// end stores what is left of the body, and lists it. err is what ended the
// body.
func (c *chunk) end(err error) error {
	if ended := c.u.usable(c.ctx); ended != nil {
		c.line.work.Wait()
		return errors.Join(err, ended)
	}
	if err != nil && c.atomic {
		return err
	}
	if failure := c.line.failure(); failure == nil {
		if endErr := c.sendRest(); endErr != nil {
			c.line.fail(endErr)
			err = errors.Join(err, endErr)
		}
	}
	if endErr := c.listAll(); endErr != nil && !errors.Is(err, endErr) {
		err = errors.Join(err, endErr)
	}
	return err
}

// sendRest sends what is left as the object or a part, if it can be one.
func (c *chunk) sendRest() error {
	number, start := c.line.next()
	st := c.line.state()
	rest := sizeOf(st.tail(start)) + c.body.size
	complete := !st.info.SizeIsDeferred && c.at == st.info.Size
	if complete && c.line.isEmpty() && !st.whole {
		return c.putWhole()
	}
	if rest == 0 {
		return nil
	}
	needed, _, err := c.sizes(number, start)
	if err != nil && !complete {
		return err
	}
	if complete || rest >= needed {
		return c.sendPart()
	}
	return nil
}

// listAll waits for the parts, lists them and puts the rest beside them.
func (c *chunk) listAll() error {
	err := c.line.wait()
	if c.ctx.Err() != nil {
		return errors.Join(err, context.Cause(c.ctx))
	}
	switch {
	case c.atomic && err == nil:
		if err = c.putPiece(); err == nil {
			err = c.line.list(c.ctx)
		}
	case !c.atomic:
		listErr := c.line.list(c.ctx)
		if err == nil && listErr == nil {
			err = c.putPiece()
		}
		if listErr != nil {
			err = errors.Join(err, listErr)
		}
	}
	if err != nil {
		return c.lost(err)
	}
	c.tidy()
	return nil
}

// lost looks whether an error means that the parts that were stored are gone.
func (c *chunk) lost(err error) error {
	if st := c.line.state(); isLostUpload(err) && len(st.content.Parts) > 0 {
		return c.u.failForGood(c.ctx, st, err)
	}
	return err
}

// tidy removes the pieces whose bytes are in parts now. What stays is removed
// by the next chunk.
func (c *chunk) tidy() {
	if _, err := c.u.removeStrays(c.ctx, c.u.current()); err != nil {
		c.b.log.Warn("pieces of an upload stay", "id", c.u.id, "err", err)
	}
}

// putWhole stores the tail and the body as the object.
func (c *chunk) putWhole() error {
	body, err := c.withTail()
	if err != nil {
		return err
	}
	defer body.discard()
	st := c.line.state()
	if err := c.b.putData(c.ctx, &st, &body); err != nil {
		c.u.doubt()
		if isRefusedCondition(err) {
			err = fmt.Errorf("another object is in its place: %w", err)
		}
		return err
	}
	st.whole = true
	c.line.replace(st)
	return nil
}

// putData stores the data object.
func (b *bucket) putData(ctx context.Context, st *state, body *buffer) error {
	attributes, err := b.dataAttributes(st)
	if err != nil {
		return err
	}
	_, err = b.put(ctx, PutObject{
		Key: st.dataKey(), Body: body.reader(), Size: body.size, Attributes: attributes, IfNoneMatch: true,
	})
	return err
}

// replace makes st what is stored.
func (l *line) replace(st state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st = st
	l.u.become(st)
}
