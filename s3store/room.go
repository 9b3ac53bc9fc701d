package s3store

import (
	"fmt"
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

// sendPart makes a part of the body and the pieces before it.
func (c *chunk) sendPart() error {
	body, err := c.gather(c.before())
	if err != nil {
		return err
	}
	c.hidden = nil
	return c.line.send(body)
}

// before returns the pieces between the parts and the body.
func (c *chunk) before() []piece {
	_, start := c.line.next()
	st := c.line.state()
	return append(st.tail(start), c.hidden...)
}

// gather takes the body, with the bytes of the pieces before it at its
// beginning. Nobody waits for memory while holding some: if there is none for
// the pieces, the body becomes one, too.
func (c *chunk) gather(pieces []piece) (buffer, error) {
	size := sizeOf(pieces)
	if !c.body.tryReserve(size) {
		aside, err := c.putAside()
		if err != nil {
			return buffer{}, err
		}
		pieces = append(pieces, aside...)
		if err := c.body.reserve(c.ctx, sizeOf(pieces), sizeOf(pieces)); err != nil {
			return buffer{}, err
		}
	}
	body := c.take()
	if err := c.b.readPieces(c.line.ctx, pieces, &body); err != nil {
		body.discard()
		c.u.doubt() // somebody else may have put them into a part
		err = fmt.Errorf("read the pieces before a part: %w", err)
		c.line.fail(err) // nothing may follow the bytes of the body, which are lost
		return buffer{}, err
	}
	return body, nil
}

// take takes the body, and notes how fast it has come.
func (c *chunk) take() buffer {
	const most = 1 << 40 // bytes
	if c.body.size > 0 {
		took := max(c.waited, time.Millisecond)
		c.pace = int64(min(float64(c.body.size)*float64(slowPart)/float64(took), most))
		c.waited = 0
	}
	c.from += c.body.size
	return c.body.take()
}
