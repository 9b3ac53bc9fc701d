package s3store

import (
	"context"
	"io"

	"github.com/tus/tusd"
)

// hiddenOffset is added to where a piece begins that must not count. No upload
// is so long: it never follows anything, and if the server dies it is removed
// like all others that do not count.
const hiddenOffset = maxSize + 1

// hideBody stores the body of an atomic chunk as a piece that does not count. Its
// bytes are read again for a part, or when the chunk has ended well.
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

// removeHidden removes the pieces of an atomic chunk that were not to count.
func (c *chunk) removeHidden() {
	if len(c.hiddenKeys) == 0 {
		return
	}
	if err := c.b.remove(c.u.lease.Context(), c.hiddenKeys...); err != nil {
		c.u.invalidate() // whoever loads the upload sees them
		c.b.log.Warn("pieces of a chunk that does not count stay", "id", c.u.id, "err", err)
	}
}

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
