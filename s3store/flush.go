package s3store

import (
	"fmt"
	"slices"
	"time"
)

// flushAsTail stores the body as a piece, which it returns, and gives back the
// memory. It returns none if the body has no bytes.
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

// putTailObject stores the body as a piece. All parts before it are listed, or it
// does not count until they are.
func (c *chunk) putTailObject() ([]tailObject, error) {
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
			err = concurrentChange(err)
		}
		return p, err
	}
	body := c.takeBody()
	body.discard()
	return p, nil
}

// flushRest stores what is left as one piece, if anything is.
func (c *chunk) flushRest() error {
	if hidden := slices.Clone(c.hidden); len(hidden) > 0 {
		body, err := c.takePartBody(hidden)
		if err != nil {
			return err
		}
		c.hidden, c.body, c.from = nil, body, hidden[0].start
	}
	if c.body.size == 0 {
		c.body.discard() // whoever tidies up may wait for memory
		return nil
	}
	_, err := c.putTailObject()
	return err
}

// sendPart makes a part of the body and the pieces before it.
func (c *chunk) sendPart() error {
	body, err := c.takePartBody(c.pendingTail())
	if err != nil {
		return err
	}
	c.hidden = nil
	return c.parts.send(body)
}

// pendingTail returns the pieces between the parts and the body.
func (c *chunk) pendingTail() []tailObject {
	_, start := c.parts.next()
	st := c.parts.state()
	return append(st.tail(start), c.hidden...)
}

// takePartBody takes the body, with the bytes of the pieces before it at its
// beginning. Nobody waits for memory while holding some: if there is none for
// the pieces, the body becomes one, too.
func (c *chunk) takePartBody(pieces []tailObject) (buffer, error) {
	size := sizeOfTail(pieces)
	if !c.body.tryReserve(size) {
		aside, err := c.flushAsTail()
		if err != nil {
			return buffer{}, err
		}
		pieces = append(pieces, aside...)
		if err := c.body.reserve(c.ctx, sizeOfTail(pieces), sizeOfTail(pieces)); err != nil {
			return buffer{}, err
		}
	}
	body := c.takeBody()
	if err := c.b.readTail(c.parts.ctx, pieces, &body); err != nil {
		body.discard()
		c.u.invalidate() // somebody else may have put them into a part
		err = fmt.Errorf("read the pieces before a part: %w", err)
		c.parts.fail(err) // nothing may follow the bytes of the body, which are lost
		return buffer{}, err
	}
	return body, nil
}

// takeBody takes the body, and notes how fast it has come.
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
