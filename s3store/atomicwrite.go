package s3store

import (
	"context"
	"io"

	"github.com/tus/tusd"
)

// WriteAtomic implements tusd.AtomicWriter.
func (s *Store) WriteAtomic(ctx context.Context, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u, err := asUpload(up)
	if err != nil {
		return 0, err
	}
	if err := u.write(ctx, offset, src, true); err != nil {
		return 0, wrapError("write to upload", u.id, err)
	}
	return u.current().info.Offset - offset, nil
}

// hiddenOffset is added to the start of a tail object that must not count yet. No upload is
// that long, so the tail object never follows other bytes. If the server is killed, the tail
// object is removed as an orphan.
const hiddenOffset = maxSize + 1

// hideBody stores the body of an atomic chunk as a hidden tail object. Its
// bytes are read again for a part, or when all of the chunk has arrived.
func (c *chunk) hideBody() ([]tailObject, error) {
	start := c.from
	p, err := c.storeTailObject(start + hiddenOffset)
	c.hiddenKeys = append(c.hiddenKeys, p.key)
	if err != nil {
		return nil, err
	}
	p.start = start
	c.hidden = append(c.hidden, p)
	return []tailObject{p}, nil
}

// removeHidden removes the hidden tail objects of an atomic chunk.
func (c *chunk) removeHidden() {
	if len(c.hiddenKeys) == 0 {
		return
	}
	if err := c.b.remove(c.u.lease.Context(), c.hiddenKeys...); err != nil {
		c.u.invalidate() // a later load finds them
		c.b.log.Warn("hidden tail objects of a chunk cannot be removed: the next chunk of the upload removes them", "id", c.u.id, "err", err)
	}
}
