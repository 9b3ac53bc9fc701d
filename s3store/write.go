package s3store

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// WriteChunk implements tusd.Upload.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	err := u.write(ctx, offset, src, false)
	return max(0, u.current().info.Offset-offset), wrapError("write to upload", u.id, err)
}

// chunk is one body on its way into an upload. While it is being read, it is
// also for flushIfSlow.
type chunk struct {
	u      *upload
	b      *bucket
	ctx    context.Context // ends with the request's and with the lease
	parts  *partWriter
	atomic bool  // nothing may count before the body has ended well
	limit  int64 // where the upload ends at the latest

	mu         sync.Mutex    // held by who works on the chunk, and not while a Read waits
	reading    bool          // a Read waits
	watch      *time.Timer   // calls flushIfSlow if it waits for long
	body       buffer        // what has come and is not sent
	from       int64         // where that begins in the upload
	filling    bool          // a Read puts bytes behind those of body
	hidden     []tailObject  // before body, of an atomic chunk
	hiddenKeys []string      // keys of all that were hidden
	spare      []byte        // for a Read that puts its bytes elsewhere
	readTime   time.Duration // for the bytes of body
	rate       int64         // bytes that came in slowAfter, lately; 0: not known
}

// at is where the bytes that have come end.
func (c *chunk) at() int64 { return c.from + c.body.size }

// write stores src behind what is there.
func (u *upload) write(ctx context.Context, offset int64, src io.Reader, atomic bool) error {
	st, err := u.freshState(ctx)
	if err != nil {
		return err
	}
	if has := st.offset(); has != offset {
		return tusd.ErrMismatchedOffset.With(fmt.Errorf("the upload has %d bytes, not %d", has, offset))
	}
	held, stop := u.underLease(ctx)
	defer stop()
	if st, err = u.removeOrphans(held, st); err != nil {
		return err
	}
	c := &chunk{
		u: u, b: u.b, ctx: held, atomic: atomic, from: offset, limit: u.b.partSizes.maxUpload(),
		parts: u.newPartWriter(held, st, !atomic), body: buffer{pool: u.b.memory},
	}
	if length := st.length(); length >= 0 {
		c.limit = length
	}
	defer c.parts.close(u.lease.Context())
	defer c.removeHidden()
	defer c.body.discard()
	return c.storeRest(c.receive(src))
}

// removeOrphans removes pieces that do not count: bytes that are stored behind
// what is listed now could make them count.
func (u *upload) removeOrphans(ctx context.Context, st state) (state, error) {
	strays := st.orphans()
	if len(strays) == 0 {
		return st, nil
	}
	if err := u.validate(ctx); err != nil { // they may count by now
		return st, err
	}
	if err := u.b.remove(ctx, keysOf(strays)...); err != nil {
		u.invalidate()
		return st, fmt.Errorf("remove pieces that do not count: %w", err)
	}
	st.tailObjects = withoutTailObjects(st.tailObjects, strays)
	u.setState(st)
	return st, nil
}

// receive reads src and sends what makes a part, until the end of src, an
// error, or the end of the context.
func (c *chunk) receive(src io.Reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = time.AfterFunc(slowAfter, c.flushIfSlow)
	defer c.watch.Stop()
	for {
		space, err := c.space()
		if err != nil {
			return err
		}
		readErr := c.read(src, space)
		if c.parts.ctx.Err() != nil {
			return context.Cause(c.parts.ctx)
		}
		if err := c.u.checkLease(c.ctx); err != nil { // c.ctx ends a moment after the lease
			return err
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// space returns where the next bytes go, after sending a part or a piece if
// that is what makes room. It is empty if no more may come.
func (c *chunk) space() ([]byte, error) {
	for c.at() < c.limit {
		number, start := c.parts.next()
		needed, target, err := c.sizes(number, start)
		if err != nil {
			return nil, err
		}
		has := sizeOfTail(c.pendingTail()) + c.body.size
		switch {
		case has >= target:
			err = c.sendPart()
		case c.isSlow():
			err = c.flush()
		default:
			if space := c.body.space(); space != nil {
				return space[:min(int64(len(space)), target-has, c.limit-c.at())], nil
			}
			err = c.waitForMemory(needed - has)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// read lets src put bytes into space, which is behind those of the body. What
// the body has may be put aside meanwhile.
func (c *chunk) read(src io.Reader, space []byte) error {
	into, lent := space, c.body.lastPooled() > 0
	c.filling = len(space) > 0 && (!lent || c.b.memory.pin())
	if !c.filling {
		into = c.spareSpace(len(space))
	}
	n, err := c.readUnlocked(src, into)
	switch {
	case n > 0 && len(space) == 0:
		err = tusd.ErrUploadSizeExceeded.With(fmt.Errorf("the source goes beyond %d bytes", c.limit))
	case c.filling:
		c.body.filled(n)
	case n > 0:
		c.body.write(into[:n])
	}
	if c.filling && lent {
		c.b.memory.unpin()
	}
	c.filling = false
	return err
}

// readUnlocked reads, and lets go of the chunk while it waits.
func (c *chunk) readUnlocked(src io.Reader, into []byte) (int, error) {
	started := time.Now()
	c.reading = true
	c.watch.Reset(slowAfter)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.watch.Stop()
		c.reading = false
		c.readTime += time.Since(started)
	}()
	return src.Read(into)
}

// spareSpace is room for up to n bytes, at least one, that nobody else needs.
func (c *chunk) spareSpace(n int) []byte {
	n = min(max(n, 1), smallBlock)
	if len(c.spare) < n {
		c.spare = make([]byte, n)
	}
	return c.spare[:n]
}

// sizes returns the least and the wanted size of a part.
func (c *chunk) sizes(number int, start int64) (needed, target int64, err error) {
	st := c.parts.state()
	if size := st.layout.PartSize; size > 0 {
		return size, size, c.checkEqual(number, size)
	}
	if needed, err = c.b.partSizes.minSize(number, start, st.length()); err != nil {
		return 0, 0, err
	}
	return needed, max(needed, c.b.partSizes.preferred), nil
}

func (c *chunk) checkEqual(number int, size int64) error {
	if number > c.b.partSizes.maxParts {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("%d parts of %d bytes are full", c.b.partSizes.maxParts, size))
	}
	return nil
}
