package s3store

import "slices"

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

// hiddenStart is added to where a piece begins that must not count. No upload
// is so long: it never follows anything, and if the server dies it is removed
// like all others that do not count.
const hiddenStart = maxSize + 1

// hide stores the body of an atomic chunk as a piece that does not count. Its
// bytes are read again for a part, or when the chunk has ended well.
func (c *chunk) hide() ([]piece, error) {
	start := c.from
	p, err := c.storePiece(start + hiddenStart)
	c.strays = append(c.strays, p.key)
	if err != nil {
		return nil, err
	}
	p.start = start
	c.hidden = append(c.hidden, p)
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

// removeHidden removes the pieces of an atomic chunk that were not to count.
func (c *chunk) removeHidden() {
	if len(c.strays) == 0 {
		return
	}
	if err := c.b.remove(c.u.lease.Context(), c.strays...); err != nil {
		c.u.doubt() // whoever loads the upload sees them
		c.b.log.Warn("pieces of a chunk that does not count stay", "id", c.u.id, "err", err)
	}
}
