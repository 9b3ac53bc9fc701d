package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// copyStep is how many bytes are copied between two looks at the context.
const copyStep = 2 * writeBackPiece

// Concat implements tusd.Concater.
func (s *FileStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	u, err := ours(final)
	if err != nil {
		return err
	}
	parts := make([]*upload, len(partials))
	for i, p := range partials {
		if parts[i], err = ours(p); err != nil {
			return err
		}
	}
	return failed("concatenate upload", u.id, u.concat(ctx, parts))
}

// concat empties u and fills it with parts. After an error it is empty.
func (u *upload) concat(ctx context.Context, parts []*upload) error {
	if err := u.usable(ctx); err != nil {
		return err
	}
	m, err := u.knownMark()
	if err != nil {
		return err
	}
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	m.synced = 0
	c := &chunk{u: u, f: f, mark: m}
	m.writing = true
	u.v.marks.set(u.id, u.lease, m)
	if err := c.join(ctx, parts); err != nil {
		return errors.Join(err, c.empty())
	}
	return nil
}

// join replaces what c's file has by parts.
func (c *chunk) join(ctx context.Context, parts []*upload) error {
	if err := c.f.Truncate(0); err != nil {
		return err
	}
	room, err := c.u.v.claimRoom(c.u.data, c.u.current().Size)
	if err != nil {
		return err
	}
	defer room.drop()
	for _, part := range parts {
		if err := c.copyUpload(ctx, part, room); err != nil {
			return err
		}
	}
	if want := c.u.current().Size; c.at != want {
		return fmt.Errorf("the partial uploads have %d bytes together, not %d", c.at, want)
	}
	if err := c.u.usable(ctx); err != nil {
		return err
	}
	_, err = c.end(nil)
	return err
}

// copyUpload appends the bytes of part, in the kernel where it can. The kernel
// may share blocks and take no room: that is not counted on.
func (c *chunk) copyUpload(ctx context.Context, part *upload, room *claim) error {
	src, err := part.data.tree.OpenOS(part.data.name)
	if err != nil {
		return err
	}
	defer src.Close()
	for left := part.current().Offset; left > 0; {
		if err := c.u.usable(ctx); err != nil {
			return err
		}
		step := min(left, copyStep)
		if err := room.check(step); err != nil {
			return err
		}
		n, err := c.f.CopyFrom(src, step)
		room.used(n)
		c.at += n
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

// empty cuts the final back to nothing.
func (c *chunk) empty() error {
	u := c.u
	if u.lease.Context().Err() != nil {
		u.v.marks.forget(u.id)
		return nil
	}
	m := c.mark
	err := c.f.Truncate(0)
	m.cut = err != nil
	u.v.marks.set(u.id, u.lease, m)
	u.change(func(info *tusd.FileInfo) { info.Offset = 0 })
	return err
}
