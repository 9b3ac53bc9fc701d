package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// WriteAtomic implements tusd.AtomicWriter.
func (s *FileStore) WriteAtomic(ctx context.Context, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u, err := asUpload(up)
	if err != nil {
		return 0, err
	}
	c, err := u.begin(ctx, offset)
	if err != nil {
		return 0, failed("write to upload", u.id, err)
	}
	defer c.f.Close()
	if err := c.writeAtomic(ctx, src); err != nil {
		return 0, failed("write to upload", u.id, errors.Join(err, c.rollBack()))
	}
	return c.end - c.start, nil
}

// writeAtomic writes the undo record, writes the chunk and removes the undo record:
// each is on disk before the next begins, if the level requires it.
func (c *chunk) writeAtomic(ctx context.Context, src io.Reader) error {
	u := c.u
	if err := u.writeUndoRecord(c.start); err != nil {
		return err
	}
	if err := c.copy(ctx, src); err != nil {
		return err
	}
	info, state := u.current(), c.state
	info.Offset = c.end
	if u.v.level.mustSync(info) {
		if err := c.f.Sync(); err != nil {
			return err
		}
		if !state.namesSynced {
			if err := u.syncNames(); err != nil {
				return err
			}
		}
		state.synced, state.namesSynced = c.end, true
	}
	if err := u.checkLease(ctx); err != nil {
		return err
	}
	if err := u.removeUndoRecord(); err != nil {
		return err
	}
	u.v.uploads.setState(u.id, u.lease, state)
	u.change(func(now *tusd.FileInfo) { now.Offset = c.end })
	u.setChanged()
	return nil
}

// rollBack cuts off the bytes of a chunk. If that fails, the undo record stays, and
// the next load of the upload cuts them off.
func (c *chunk) rollBack() error {
	u := c.u
	if u.lease.Context().Err() != nil {
		u.v.uploads.invalidateState(u.id)
		return nil
	}
	err := c.f.Truncate(c.start)
	if err == nil && u.v.level == Ack {
		err = c.f.Sync()
	}
	if err == nil {
		err = u.removeUndoRecord()
	}
	if err != nil {
		u.v.uploads.invalidateState(u.id)
		return err
	}
	u.v.uploads.setState(u.id, u.lease, c.state)
	return nil
}

// ReadsIncomplete implements tusd.Rewinder.
func (s *FileStore) ReadsIncomplete() bool { return true }

// Rewind implements tusd.Rewinder. The undo record comes first: if the rest fails,
// the next load of the upload cuts the data.
func (s *FileStore) Rewind(ctx context.Context, up tusd.Upload, offset int64) error {
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	has := u.current().Offset
	if has < offset {
		return failed("rewind upload", u.id, fmt.Errorf("it has %d bytes, not %d", has, offset))
	}
	c, err := u.begin(ctx, has)
	if err != nil {
		return failed("rewind upload", u.id, err)
	}
	defer c.f.Close()
	c.start, c.state.synced = offset, min(c.state.synced, offset)
	if err := u.writeUndoRecord(offset); err != nil {
		u.v.uploads.invalidateState(u.id)
		return failed("rewind upload", u.id, err)
	}
	if err := c.rollBack(); err != nil {
		return failed("rewind upload", u.id, err)
	}
	u.change(func(info *tusd.FileInfo) { info.Offset = offset })
	return nil
}
