package s3store

import (
	"time"
)

// How the memory for bodies goes round: what has come is sent early if others
// wait for the memory that it takes.

// slowPart is how long a body may hold memory for a part that it does not
// fill while others wait for memory.
const slowPart = time.Second

// isSlow tells whether the body holds memory for long that others wait for.
func (c *chunk) isSlow() bool {
	held := c.body.reserved
	if c.filling {
		held -= c.body.lastPooled()
	}
	return held > 0 && time.Since(c.body.since) > slowPart && c.b.memory.contended()
}

// letGo is called now and then while a Read waits. It does what the goroutine
// that reads would do if it came back.
func (c *chunk) letGo() {
	if !c.mu.TryLock() {
		return // it has come back
	}
	defer c.mu.Unlock()
	if !c.reading {
		return
	}
	c.watch.Reset(slowPart)
	if !c.isSlow() || c.u.usable(c.ctx) != nil || c.line.failure() != nil {
		return
	}
	var last buffer // stays where the Read fills it
	if c.filling {
		last = c.body.takeLast()
	}
	err := c.makeRoom()
	if c.filling {
		last.prepend(c.body)
		c.body = last
	}
	if err != nil {
		c.line.fail(err)
	}
}

// waitForMemory finds memory for a body that has no more space, and misses so
// much for a part.
func (c *chunk) waitForMemory(missing int64) error {
	if c.body.reserved > 0 || c.isPart(missing) {
		return c.makeRoom()
	}
	wanted := min(max(missing, blockSize), max(c.pace, blockSize))
	return c.body.reserve(c.ctx, wanted, blockSize)
}

// isPart tells whether what has come, with the pieces before it, may become a
// part of less than the wanted size, if so much is missing for the least one.
func (c *chunk) isPart(missing int64) bool {
	st := c.line.state()
	return missing <= 0 && st.content.PartSize == 0
}

// makeRoom sends what has come: as a part if it is enough, else as a piece.
func (c *chunk) makeRoom() error {
	number, start := c.line.next()
	needed, _, err := c.sizes(number, start)
	if err != nil {
		return err
	}
	if c.isPart(needed - sizeOf(c.before()) - c.body.size) {
		return c.sendPart()
	}
	_, err = c.putAside()
	return err
}
