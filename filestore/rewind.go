package filestore

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// ReadsIncomplete implements tusd.Rewinder.
func (s *FileStore) ReadsIncomplete() bool { return true }

// Rewind implements tusd.Rewinder. The rollback mark comes first: if the rest does
// not succeed, loading the upload does it.
func (s *FileStore) Rewind(ctx context.Context, up tusd.Upload, offset int64) error {
	u, err := ours(up)
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
	c.start, c.mark.synced = offset, min(c.mark.synced, offset)
	if err := u.leaveRollbackMark(offset); err != nil {
		u.v.marks.forget(u.id)
		return failed("rewind upload", u.id, err)
	}
	if err := c.takeBack(); err != nil {
		return failed("rewind upload", u.id, err)
	}
	u.change(func(info *tusd.FileInfo) { info.Offset = offset })
	return nil
}
