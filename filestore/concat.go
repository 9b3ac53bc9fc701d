package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// copyStep is how many bytes are copied between two looks at the context.
const copyStep = 2 * writeBackRange

// Concat implements tusd.Concater.
func (s *FileStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	u, err := asUpload(final)
	if err != nil {
		return err
	}
	parts := make([]*upload, len(partials))
	for i, p := range partials {
		if parts[i], err = asUpload(p); err != nil {
			return err
		}
	}
	return failed("concatenate upload", u.id, u.concat(ctx, parts))
}

// concat empties u and fills it with parts. After an error it is empty.
func (u *upload) concat(ctx context.Context, parts []*upload) error {
	if err := u.checkLease(ctx); err != nil {
		return err
	}
	m, err := u.knownState()
	if err != nil {
		return err
	}
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	m.synced = 0
	c := &chunk{u: u, f: f, state: m}
	m.writing = true
	u.v.syncStates.set(u.id, u.lease, m)
	if err := c.copyAll(ctx, parts); err != nil {
		return errors.Join(err, c.truncateAll())
	}
	return nil
}

// copyAll replaces what c's file has by parts.
func (c *chunk) copyAll(ctx context.Context, parts []*upload) error {
	if err := c.f.Truncate(0); err != nil {
		return err
	}
	room, err := c.u.v.reserve(c.u.data, c.u.current().Size)
	if err != nil {
		return err
	}
	defer room.release()
	for _, part := range parts {
		if err := c.copyUpload(ctx, part, room); err != nil {
			return err
		}
	}
	if want := c.u.current().Size; c.end != want {
		return fmt.Errorf("the partial uploads have %d bytes together, not %d", c.end, want)
	}
	if err := c.u.checkLease(ctx); err != nil {
		return err
	}
	_, err = c.finish(nil)
	return err
}

// copyUpload appends the bytes of part, in the kernel where it can. The kernel
// may share blocks and take no room: that is not counted on.
func (c *chunk) copyUpload(ctx context.Context, part *upload, room *reservation) error {
	src, err := part.data.tree.OpenOS(part.data.name)
	if err != nil {
		return err
	}
	defer src.Close()
	for left := part.current().Offset; left > 0; {
		if err := c.u.checkLease(ctx); err != nil {
			return err
		}
		step := min(left, copyStep)
		if err := room.check(step); err != nil {
			return err
		}
		n, err := c.f.CopyFrom(src, step)
		room.used(n)
		c.end += n
		left -= n
		if err == io.EOF {
			return fmt.Errorf("partial upload %s ended %d bytes early", part.id, left)
		}
		if err != nil {
			return err
		}
		if err := c.writeBack(); err != nil {
			return err
		}
	}
	return nil
}

// truncateAll cuts the final back to nothing.
func (c *chunk) truncateAll() error {
	u := c.u
	if u.lease.Context().Err() != nil {
		u.v.syncStates.forget(u.id)
		return nil
	}
	m := c.state
	err := c.f.Truncate(0)
	m.cut = err != nil
	u.v.syncStates.set(u.id, u.lease, m)
	u.change(func(info *tusd.FileInfo) { info.Offset = 0 })
	return err
}
