package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// copyStep is the number of bytes that are copied between two checks of the context.
const copyStep = 2 * writeBackRange

// Concat implements tusd.Concater.
func (s *FileStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	u, err := asUpload(final)
	if err != nil {
		return err
	}
	loaded := make([]*upload, len(partials))
	for i, p := range partials {
		if loaded[i], err = asUpload(p); err != nil {
			return err
		}
	}
	return failed("concatenate upload", u.id, u.concat(ctx, loaded))
}

// concat replaces the bytes of u by those of partials. If copying fails, it empties u,
// unless the lease is lost.
func (u *upload) concat(ctx context.Context, loaded []*upload) error {
	if err := u.checkLease(ctx); err != nil {
		return err
	}
	state, err := u.knownState()
	if err != nil {
		return err
	}
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	state.synced = 0
	c := &chunk{u: u, f: f, state: state}
	state.writing = true
	u.v.uploads.setState(u.id, u.lease, state)
	if err := c.copyAll(ctx, loaded); err != nil {
		return errors.Join(err, c.truncateAll())
	}
	return nil
}

// copyAll replaces the content of c's file by the bytes of partials.
func (c *chunk) copyAll(ctx context.Context, loaded []*upload) error {
	if err := c.f.Truncate(0); err != nil {
		return err
	}
	space, err := c.u.v.reserve(c.u.data, c.u.current().Size)
	if err != nil {
		return err
	}
	defer space.release()
	for _, partial := range loaded {
		if err := c.copyUpload(ctx, partial, space); err != nil {
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

// copyUpload appends the bytes of partial, inside the kernel where possible. The space
// is reserved although the kernel may share blocks and use none.
func (c *chunk) copyUpload(ctx context.Context, partial *upload, space *reservation) error {
	src, err := partial.data.tree.OpenOS(partial.data.name)
	if err != nil {
		return err
	}
	defer src.Close()
	for left := partial.current().Offset; left > 0; {
		if err := c.u.checkLease(ctx); err != nil {
			return err
		}
		step := min(left, copyStep)
		if err := space.check(step); err != nil {
			return err
		}
		n, err := c.f.CopyFrom(src, step)
		space.used(n)
		c.end += n
		left -= n
		if err == io.EOF {
			return fmt.Errorf("partial upload %s ended %d bytes early", partial.id, left)
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

// truncateAll empties the final upload again.
func (c *chunk) truncateAll() error {
	u := c.u
	if u.lease.Context().Err() != nil {
		u.v.uploads.invalidateState(u.id)
		return nil
	}
	state := c.state
	err := c.f.Truncate(0)
	state.cut = err != nil
	u.v.uploads.setState(u.id, u.lease, state)
	u.change(func(info *tusd.FileInfo) { info.Offset = 0 })
	return err
}
