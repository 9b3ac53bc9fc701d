package s3store

import (
	"time"
)

// Backpressure: a body that comes slowly is stored early, as a tail object or a
// small part, if other requests wait for its memory.

// slowAfter is how long a body may keep memory for a part that it does not
// fill, while other requests wait for memory.
const slowAfter = time.Second

// isSlow reports whether the body has kept memory for slowAfter and other
// requests wait for it.
func (c *chunk) isSlow() bool {
	kept := c.body.reserved
	if c.filling {
		kept -= c.body.lastPooled()
	}
	return kept > 0 && time.Since(c.body.since) > slowAfter && c.b.memory.contended()
}

// flushIfSlow runs regularly while a Read waits. It does what the reading
// goroutine would do if the Read returned.
func (c *chunk) flushIfSlow() {
	if !c.mu.TryLock() {
		return // the Read has returned
	}
	defer c.mu.Unlock()
	if !c.reading {
		return
	}
	c.watch.Reset(slowAfter)
	if err := c.keepYoung(); err != nil {
		c.parts.fail(err)
	}
	if !c.isSlow() || c.u.checkLease(c.ctx) != nil || c.parts.failure() != nil {
		return
	}
	var filling buffer // stays where the Read fills it
	if c.filling {
		filling = c.body.takeLast()
	}
	err := c.flush()
	if c.filling {
		filling.prepend(c.body)
		c.body = filling
	}
	if err != nil {
		c.parts.fail(err)
	}
}

// makeSpace makes space for a body that has none left: it flushes if the body has memory
// or can be a part, and else waits for memory. missing is how many bytes the body lacks
// for a part.
func (c *chunk) makeSpace(missing int64) error {
	if c.body.reserved > 0 || c.canBePart(missing) {
		return c.flush()
	}
	wanted := min(max(missing, blockSize), max(c.rate, blockSize))
	return c.body.reserve(c.ctx, wanted, blockSize)
}
