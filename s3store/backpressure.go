package s3store

import (
	"time"
)

// How the memory for bodies goes round: what has come is sent early if others
// wait for the memory that it takes.

// slowAfter is how long a body may hold memory for a part that it does not
// fill while others wait for memory.
const slowAfter = time.Second

// isSlow tells whether the body holds memory for long that others wait for.
func (c *chunk) isSlow() bool {
	held := c.body.reserved
	if c.filling {
		held -= c.body.lastPooled()
	}
	return held > 0 && time.Since(c.body.since) > slowAfter && c.b.memory.contended()
}

// flushIfSlow is called now and then while a Read waits. It does what the goroutine
// that reads would do if it came back.
func (c *chunk) flushIfSlow() {
	if !c.mu.TryLock() {
		return // it has come back
	}
	defer c.mu.Unlock()
	if !c.reading {
		return
	}
	c.watch.Reset(slowAfter)
	if !c.isSlow() || c.u.checkLease(c.ctx) != nil || c.parts.failure() != nil {
		return
	}
	var last buffer // stays where the Read fills it
	if c.filling {
		last = c.body.takeLast()
	}
	err := c.flush()
	if c.filling {
		last.prepend(c.body)
		c.body = last
	}
	if err != nil {
		c.parts.fail(err)
	}
}

// waitForMemory finds memory for a body that has no more space, and misses so
// much for a part.
func (c *chunk) waitForMemory(missing int64) error {
	if c.body.reserved > 0 || c.canBePart(missing) {
		return c.flush()
	}
	wanted := min(max(missing, blockSize), max(c.rate, blockSize))
	return c.body.reserve(c.ctx, wanted, blockSize)
}

// canBePart tells whether what has come, with the pieces before it, may become a
// part of less than the wanted size, if so much is missing for the least one.
func (c *chunk) canBePart(missing int64) bool {
	st := c.parts.state()
	return missing <= 0 && st.layout.PartSize == 0
}

// flush sends what has come: as a part if it is enough, else as a piece.
func (c *chunk) flush() error {
	number, start := c.parts.next()
	needed, _, err := c.sizes(number, start)
	if err != nil {
		return err
	}
	if c.canBePart(needed - sizeOfTail(c.pendingTail()) - c.body.size) {
		return c.sendPart()
	}
	_, err = c.flushAsTail()
	return err
}
