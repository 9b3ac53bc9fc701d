package s3store

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// end stores what is left of the body, and lists it. err is what ended the
// body.
func (c *chunk) end(err error) error {
	if ended := c.u.usable(c.ctx); ended != nil {
		c.line.work.Wait()
		return errors.Join(err, ended)
	}
	if err != nil && (c.atomic || errors.Is(err, tusd.ErrUnverified)) {
		return err // no more of it is stored, and nothing is tidied up that Rewind needs
	}
	if failure := c.line.failure(); failure == nil {
		if endErr := c.sendRest(); endErr != nil {
			c.line.fail(endErr)
			err = errors.Join(err, endErr)
		}
	}
	if endErr := c.listAll(); endErr != nil && !errors.Is(err, endErr) {
		err = errors.Join(err, endErr)
	}
	return err
}

// sendRest sends what is left as the object or a part, if it can be one.
func (c *chunk) sendRest() error {
	number, start := c.line.next()
	st := c.line.state()
	rest := sizeOf(c.before()) + c.body.size
	complete := !st.info.SizeIsDeferred && c.at() == st.info.Size
	if complete && c.line.isEmpty() && !st.whole {
		return c.putWhole()
	}
	if rest == 0 {
		return nil
	}
	needed, _, err := c.sizes(number, start)
	if err != nil && !complete {
		return err
	}
	if complete || rest >= needed {
		return c.sendPart()
	}
	return nil
}

// listAll waits for the parts, lists them and puts the rest beside them.
func (c *chunk) listAll() error {
	err := c.line.wait()
	if c.ctx.Err() != nil {
		return errors.Join(err, context.Cause(c.ctx))
	}
	switch {
	case c.atomic && err == nil:
		if err = c.putRest(); err == nil {
			err = c.line.list(c.ctx)
		}
	case !c.atomic:
		listErr := c.line.list(c.ctx)
		if err == nil && listErr == nil {
			err = c.putRest()
		}
		if listErr != nil {
			err = errors.Join(err, listErr)
		}
	}
	if err != nil {
		return c.lost(err)
	}
	c.tidy()
	return nil
}

// tidy removes the pieces whose bytes are in parts now, and joins those that
// wait if they are many. What stays is for the next chunk.
func (c *chunk) tidy() {
	if err := c.u.joinPieces(c.ctx); errors.Is(err, errOtherObject) {
		c.b.log.Error("the pieces of an upload cannot be verified", "id", c.u.id, "err", err)
	} else if err != nil {
		c.b.log.Warn("the pieces of an upload stay many", "id", c.u.id, "err", err)
	}
	if _, err := c.u.removeStrays(c.ctx, c.u.current()); err != nil {
		c.b.log.Warn("pieces of an upload stay", "id", c.u.id, "err", err)
	}
}

// putWhole stores the tail and the body as the object.
func (c *chunk) putWhole() error {
	body, err := c.gather(c.before())
	if err != nil {
		return err
	}
	defer body.discard()
	st := c.line.state()
	if err := c.b.putData(c.ctx, &st, &body); err != nil {
		c.u.doubt()
		if isRefusedCondition(err) {
			err = fmt.Errorf("another object is in its place: %w", err)
		}
		return err
	}
	st.whole = true
	c.line.replace(st)
	return nil
}

// putData stores the data object.
func (b *bucket) putData(ctx context.Context, st *state, body *buffer) error {
	attributes, err := b.dataAttributes(st)
	if err != nil {
		return err
	}
	_, err = b.put(ctx, PutObject{
		Key: st.dataKey(), Body: body.reader(), Size: body.size, Attributes: attributes, IfNoneMatch: true,
	})
	return err
}
