package s3store

import (
	"fmt"
	"slices"
	"time"
)

// putAside stores the body as a piece, which it returns, and gives back the
// memory. It returns none if the body has no bytes.
func (c *chunk) putAside() ([]piece, error) {
	if c.body.size == 0 {
		c.body.discard()
		return nil, nil
	}
	if c.atomic {
		return c.hide()
	}
	if err := c.line.wait(); err != nil {
		return nil, err
	}
	if err := c.line.list(c.ctx); err != nil {
		return nil, err
	}
	return c.putPiece()
}

// putPiece stores the body as a piece. All parts before it are listed, or it
// does not count until they are.
func (c *chunk) putPiece() ([]piece, error) {
	p, err := c.storePiece(c.from)
	if err != nil {
		return nil, err
	}
	c.line.add(p)
	return []piece{p}, nil
}

func (c *chunk) storePiece(start int64) (piece, error) {
	p, err := c.b.putPiece(c.ctx, c.u.id, start, &c.body)
	if err != nil {
		c.u.doubt()
		if isRefusedCondition(err) {
			err = overtaken(err)
		}
		return p, err
	}
	body := c.take()
	body.discard()
	return p, nil
}

// putRest stores what is left as one piece, if anything is.
func (c *chunk) putRest() error {
	if hidden := slices.Clone(c.hidden); len(hidden) > 0 {
		body, err := c.gather(hidden)
		if err != nil {
			return err
		}
		c.hidden, c.body, c.from = nil, body, hidden[0].start
	}
	if c.body.size == 0 {
		c.body.discard() // whoever tidies up may wait for memory
		return nil
	}
	_, err := c.putPiece()
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
