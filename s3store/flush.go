package s3store

import (
	"fmt"
	"slices"
	"time"
)

// flush stores what is buffered: as a part if it is large enough, else as a
// tail object.
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

// canBePart reports whether the body, with the tail before it, may become a
// part that is smaller than the preferred size. missing is how many bytes it
// lacks for the least size.
func (c *chunk) canBePart(missing int64) bool {
	st := c.parts.state()
	return missing <= 0 && st.layout.PartSize == 0
}

// sendPart uploads the tail and the body as a part.
func (c *chunk) sendPart() error {
	body, err := c.takePartBody(c.pendingTail())
	if err != nil {
		return err
	}
	c.hidden = nil
	return c.parts.send(body)
}

// pendingTail returns the tail objects between the parts and the body.
func (c *chunk) pendingTail() []tailObject {
	_, start := c.parts.next()
	st := c.parts.state()
	return append(st.tail(start), c.hidden...)
}

// takePartBody takes the body out of the chunk, and puts the bytes of a tail
// before it. No request waits for memory while it has some: if there is no
// memory for the tail, the body becomes a tail object, too.
func (c *chunk) takePartBody(tail []tailObject) (buffer, error) {
	size := sizeOfTail(tail)
	if !c.body.tryReserve(size) {
		flushed, err := c.flushAsTail()
		if err != nil {
			return buffer{}, err
		}
		tail = append(tail, flushed...)
		if err := c.body.reserve(c.ctx, sizeOfTail(tail), sizeOfTail(tail)); err != nil {
			return buffer{}, err
		}
	}
	body := c.takeBody()
	if err := c.b.readTail(c.parts.ctx, tail, &body); err != nil {
		body.discard()
		c.u.invalidate() // another process may have put them into a part
		err = fmt.Errorf("read the tail before a part: %w", err)
		c.parts.fail(err) // the bytes of the body are lost, so nothing may follow them
		return buffer{}, err
	}
	return body, nil
}

// takeBody takes the body out of the chunk, and measures how fast it came.
func (c *chunk) takeBody() buffer {
	const most = 1 << 40 // bytes
	if c.body.size > 0 {
		took := max(c.readTime, time.Millisecond)
		c.rate = int64(min(float64(c.body.size)*float64(slowAfter)/float64(took), most))
		c.readTime = 0
	}
	c.from += c.body.size
	return c.body.take()
}

// flushAsTail stores the body as a tail object and frees the memory. It returns
// the new tail object, or none if the body is empty.
func (c *chunk) flushAsTail() ([]tailObject, error) {
	if c.body.size == 0 {
		c.body.discard()
		return nil, nil
	}
	if c.atomic {
		return c.hideBody()
	}
	if err := c.parts.wait(); err != nil {
		return nil, err
	}
	if err := c.parts.record(c.ctx); err != nil {
		return nil, err
	}
	return c.putTailObject()
}

// putTailObject stores the body as a tail object. If parts before it are not
// recorded yet, it is an orphan until they are.
func (c *chunk) putTailObject() ([]tailObject, error) {
	if err := c.parts.own(c.ctx); err != nil {
		return nil, err
	}
	p, err := c.storeTailObject(c.from)
	if err != nil {
		return nil, err
	}
	c.parts.addTailObject(p)
	return []tailObject{p}, nil
}

func (c *chunk) storeTailObject(start int64) (tailObject, error) {
	p, err := c.b.putTailObject(c.ctx, c.u.id, start, &c.body)
	if err != nil {
		c.u.invalidate()
		if isRefusedCondition(err) {
			err = c.b.concurrentChange(c.u.id, err)
		}
		return p, err
	}
	body := c.takeBody()
	body.discard()
	return p, nil
}

// flushRest stores the rest of the body as one tail object.
func (c *chunk) flushRest() error {
	if hidden := slices.Clone(c.hidden); len(hidden) > 0 {
		body, err := c.takePartBody(hidden)
		if err != nil {
			return err
		}
		c.hidden, c.body, c.from = nil, body, hidden[0].start
	}
	if c.body.size == 0 {
		c.body.discard() // compactTail may wait for memory
		return nil
	}
	_, err := c.putTailObject()
	return err
}
