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

// chunk is the body of one request on its way into an upload. While a Read
// waits, flushIfSlow uses it, too.
type chunk struct {
	u      *upload
	b      *bucket
	ctx    context.Context // ends with the request and with the lease
	parts  *partWriter
	atomic bool  // nothing counts before the whole body has arrived
	limit  int64 // greatest length of the upload

	mu         sync.Mutex    // held by the goroutine that works on the chunk, and not while a Read waits
	reading    bool          // a Read waits
	watch      *time.Timer   // calls flushIfSlow while a Read waits
	body       buffer        // bytes that arrived and are not sent
	from       int64         // offset of the body in the upload
	filling    bool          // a Read fills the space behind body
	hidden     []tailObject  // hidden tail objects before body, of an atomic chunk
	hiddenKeys []string      // of all hidden tail objects
	spare      []byte        // for a Read that does not fill the body's space
	readTime   time.Duration // that the bytes of body took to arrive
	touched    int64         // at(), when keepYoung stored the record
	rate       int64         // bytes that arrived in slowAfter, measured at the last flush; 0: not known
}

// at returns the offset behind the bytes that arrived.
func (c *chunk) at() int64 { return c.from + c.body.size }

// write appends src to the upload.
func (u *upload) write(ctx context.Context, offset int64, src io.Reader, atomic bool) error {
	st, err := u.freshState(ctx)
	if err != nil {
		return err
	}
	if has := st.offset(); has != offset {
		return tusd.ErrMismatchedOffset.With(fmt.Errorf("the upload has %d bytes, not %d", has, offset))
	}
	leased, stop := u.underLease(ctx)
	defer stop()
	if st, err = u.removeOrphans(leased, st); err != nil {
		return err
	}
	c := &chunk{
		u: u, b: u.b, ctx: leased, atomic: atomic, from: offset, touched: offset, limit: u.b.partSizes.maxUpload(),
		parts: u.newPartWriter(leased, st, !atomic), body: buffer{pool: u.b.memory},
	}
	if length := st.length(); length >= 0 {
		c.limit = length
	}
	defer c.parts.close(u.lease.Context())
	defer c.removeHidden()
	defer c.body.discard()
	return c.storeRest(c.receive(src))
}

// receive reads src and uploads parts, until the end of src, an error, or the
// end of the context.
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
		if err := c.keepYoung(); err != nil {
			return err
		}
	}
}

// touchAfter is how long a chunk may arrive without a change in the store. The contract
// allows an hour.
const touchAfter = 30 * time.Minute

// keepYoung stores the record again if bytes arrive, but so slowly that nothing else has
// changed for touchAfter. Otherwise the upload would look abandoned.
func (c *chunk) keepYoung() error {
	if c.at() == c.touched || c.parts.failure() != nil || c.u.checkLease(c.ctx) != nil {
		return nil
	}
	changed, err := c.parts.touch(c.parts.ctx, c.b.touchAfter)
	if changed {
		c.touched = c.at()
	}
	return err
}

// space returns where the next bytes go, and flushes if that is necessary to
// make space. It returns nil when the chunk has reached its limit.
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
			err = c.makeSpace(needed - has)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// read reads from src into space, which follows the bytes of the body.
// flushIfSlow may store the body meanwhile.
func (c *chunk) read(src io.Reader, space []byte) error {
	into, inPool := space, c.body.lastPooled() > 0
	c.filling = len(space) > 0 && (!inPool || c.b.memory.pin())
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
	if c.filling && inPool {
		c.b.memory.unpin()
	}
	c.filling = false
	return err
}

// readUnlocked reads with the chunk unlocked.
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

// spareSpace returns space for up to n bytes, at least one, that is not in the
// body.
func (c *chunk) spareSpace(n int) []byte {
	n = min(max(n, 1), smallBlock)
	if len(c.spare) < n {
		c.spare = make([]byte, n)
	}
	return c.spare[:n]
}

// sizes returns the least and the preferred size of a part.
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
