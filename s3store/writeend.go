package s3store

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// storeRest stores the rest of the body, and records all parts. err is the
// error that ended the body, or nil.
func (c *chunk) storeRest(err error) error {
	if ended := c.u.checkLease(c.ctx); ended != nil {
		c.parts.work.Wait()
		return errors.Join(err, ended)
	}
	if err != nil && (c.atomic || errors.Is(err, tusd.ErrUnverified)) {
		return err // nothing more is stored, and the tail that Rewind needs is not removed
	}
	if failure := c.parts.failure(); failure == nil {
		if endErr := c.sendLastPart(); endErr != nil {
			c.parts.fail(endErr)
			err = errors.Join(err, endErr)
		}
	}
	if endErr := c.recordAll(); endErr != nil && !errors.Is(err, endErr) {
		err = errors.Join(err, endErr)
	}
	return err
}

// sendLastPart stores the rest as the data object or as a part, if it can be
// one.
func (c *chunk) sendLastPart() error {
	number, start := c.parts.next()
	st := c.parts.state()
	rest := sizeOfTail(c.pendingTail()) + c.body.size
	complete := !st.info.SizeIsDeferred && c.at() == st.info.Size
	if complete && c.parts.lacksMultipart() && !st.hasObject {
		return c.putDataObject()
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

// putDataObject stores the tail and the body as the data object.
func (c *chunk) putDataObject() error {
	if err := c.parts.own(c.ctx); err != nil {
		return err
	}
	body, err := c.takePartBody(c.pendingTail())
	if err != nil {
		return err
	}
	defer body.discard()
	st := c.parts.state()
	if err := c.b.putDataObject(c.ctx, &st, &body); err != nil {
		c.u.invalidate()
		if isRefusedCondition(err) {
			err = fmt.Errorf("another object is in its place: %w", err)
		}
		return err
	}
	st.hasObject = true
	c.parts.setState(st)
	return nil
}

// putDataObject stores the data object.
func (b *bucket) putDataObject(ctx context.Context, st *state, body *buffer) error {
	attributes, err := b.dataAttributes(st)
	if err != nil {
		return err
	}
	_, err = b.put(ctx, PutObject{
		Key: st.dataKey(), Body: body.reader(), Size: body.size, Attributes: attributes, IfNoneMatch: true,
	})
	if err == nil {
		st.setChanged()
	}
	return err
}

// recordAll waits for the parts, records them and stores the rest as a tail
// object.
func (c *chunk) recordAll() error {
	err := c.parts.wait()
	if c.ctx.Err() != nil {
		return errors.Join(err, context.Cause(c.ctx))
	}
	switch {
	case c.atomic && err == nil:
		if err = c.flushRest(); err == nil {
			err = c.parts.record(c.ctx)
		}
	case !c.atomic:
		listErr := c.parts.record(c.ctx)
		if err == nil && listErr == nil {
			err = c.flushRest()
		}
		if listErr != nil {
			err = errors.Join(err, listErr)
		}
	}
	if err != nil {
		return c.failIfPartsLost(err)
	}
	c.compactTail()
	return nil
}

// compactTail merges the tail if it has many objects, and removes orphans. On
// failure the next chunk tries again.
func (c *chunk) compactTail() {
	if err := c.u.mergeTail(c.ctx); errors.Is(err, errWrongObject) {
		c.b.log.Error("the tail of an upload cannot be verified", "id", c.u.id, "err", err)
	} else if err != nil {
		c.b.log.Warn("the tail objects of an upload cannot be merged", "id", c.u.id, "err", err)
	}
	if _, err := c.u.removeOrphans(c.ctx, c.u.current()); err != nil {
		c.b.log.Warn("orphaned tail objects of an upload cannot be removed", "id", c.u.id, "err", err)
	}
}

// removeOrphans removes tail objects that do not count: new bytes behind the
// recorded ones could make them count.
func (u *upload) removeOrphans(ctx context.Context, st state) (state, error) {
	orphans := st.orphans()
	if len(orphans) == 0 {
		return st, nil
	}
	if err := u.b.remove(ctx, keysOf(orphans)...); err != nil {
		u.invalidate()
		return st, fmt.Errorf("remove orphaned tail objects: %w", err)
	}
	st.tailObjects = withoutTailObjects(st.tailObjects, orphans)
	u.setState(st)
	return st, nil
}
