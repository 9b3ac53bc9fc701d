package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	// While a body arrives its write-back is started in pieces, and the
	// piece before the last ones is waited for. Not yet on the disk are then
	// at most the pieces under way, the next one and a buffer: less than
	// 8 MiB, so that the sync at the end is short.
	writeBackPiece  = 2 << 20
	writeBackPieces = 2
)

// WriteChunk implements tusd.Upload.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	c, err := u.begin(ctx, offset)
	if err != nil {
		return 0, failed("write to upload", u.id, err)
	}
	defer c.f.Close()
	err = c.copy(ctx, src)
	n, err := c.end(err)
	return n, failed("write to upload", u.id, err)
}

// chunk is one body on its way into the data file.
type chunk struct {
	u     *upload
	f     durable.File
	mark  mark  // as it was before
	start int64 // where the chunk begins
	at    int64 // the end of what is written

	// write-back was started for what is before started, and has ended for
	// what is before waited
	started, waited int64
	// lost is set when a write-back failed: bytes before at may be lost.
	lost bool
	// torn is set when a write failed: bytes behind at may be there.
	torn bool
	// roomTo is the offset up to which there was room when last looked.
	roomTo int64
}

// roomPiece is after how many bytes a chunk looks again how much of the disk
// has to stay free.
const roomPiece = 1 << 20

// begin opens the data for a chunk and pins the mark. After success the caller
// closes c.f and calls c.end or c.takeBack.
func (u *upload) begin(ctx context.Context, offset int64) (*chunk, error) {
	if err := u.usable(ctx); err != nil {
		return nil, err
	}
	m, err := u.knownMark()
	if err != nil {
		return nil, err
	}
	if has := u.current().Offset; has != offset {
		return nil, tusd.ErrMismatchedOffset.With(fmt.Errorf("the upload has %d bytes, not %d", has, offset))
	}
	f, err := u.openData()
	if err != nil {
		return nil, err
	}
	c := &chunk{u: u, f: f, mark: m, start: offset, at: offset, started: offset, waited: offset}
	m.writing, m.start = true, offset
	u.v.marks.set(u.id, u.lease, m)
	return c, nil
}

// knownMark returns the mark of u. If there is none (any more) or something
// has to be cut off first, it looks at the data again.
func (u *upload) knownMark() (mark, error) {
	m, ok := u.v.marks.trusted(u.id, u.v.scope, u.lease)
	if ok && !m.cut {
		return m, nil
	}
	offset, m, err := u.findOffset()
	if err != nil {
		return mark{}, err
	}
	u.change(func(info *tusd.FileInfo) { info.Offset = offset })
	return m, nil
}

// copy writes what src delivers, until its end, an error, or the end of ctx or
// the lease.
func (c *chunk) copy(ctx context.Context, src io.Reader) error {
	b := c.u.v.buffers.take()
	defer b.giveBack()
	for {
		n, readErr := src.Read(b.space)
		if err := c.u.usable(ctx); err != nil {
			return err
		}
		if err := c.write(b.space[:n]); err != nil {
			return err
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
		b.adapt(n)
	}
}

// write stores p behind what is there.
func (c *chunk) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if end := c.u.maxOffset(); int64(len(p)) > end-c.at {
		return tusd.ErrUploadSizeExceeded.With(fmt.Errorf("the source goes beyond %d bytes", end))
	}
	if err := c.checkRoom(int64(len(p))); err != nil {
		return err
	}
	n, err := c.f.WriteAt(p, c.at)
	c.at += int64(n)
	if err != nil {
		c.torn = true
		return err
	}
	return c.writeBack()
}

// checkRoom refuses n more bytes that would leave less free than is to stay.
// What fitted when the upload was created may not fit any more, and of some
// uploads nobody knew how long they would be.
func (c *chunk) checkRoom(n int64) error {
	v := c.u.v
	if v.minFree == 0 || c.at+n <= c.roomTo {
		return nil
	}
	room, err := v.roomFor(v.roomOf(c.u.data), n)
	if err != nil {
		return err
	}
	c.roomTo = c.at + n + min(roomPiece, room-n)
	return nil
}

// writeBack keeps the number of bytes small that are not on the disk.
func (c *chunk) writeBack() error {
	if c.u.v.level == None {
		return nil
	}
	for c.at-c.started >= writeBackPiece {
		if err := c.f.StartWriteBack(c.started, writeBackPiece); err != nil {
			c.lost = true
			return err
		}
		c.started += writeBackPiece
		if c.started-c.waited <= writeBackPieces*writeBackPiece {
			continue
		}
		all, err := c.f.WaitWriteBack(c.waited, writeBackPiece)
		if err != nil {
			c.lost = true
			return err
		}
		if c.waited += writeBackPiece; all {
			c.waited = c.started
		}
	}
	return nil
}

// end makes the bytes hold that were written before err, and returns their
// number. What cannot be made to hold is cut off.
func (c *chunk) end(err error) (int64, error) {
	u := c.u
	info := u.current()
	info.Offset = c.at
	if u.lease.Context().Err() != nil {
		return c.endWithoutLease(info, err)
	}
	if c.torn {
		c.lost = c.f.Truncate(c.at) != nil || c.lost
	}
	if c.lost {
		return c.cutOff(err)
	}
	if syncErr := c.hold(info); syncErr != nil {
		return c.cutOff(errors.Join(err, syncErr))
	}
	u.change(func(now *tusd.FileInfo) { now.Offset = c.at })
	return c.at - c.start, err
}

// hold makes the upload in the state of info as durable as its level says, and
// unpins the mark.
func (c *chunk) hold(info tusd.FileInfo) error {
	known := c.mark.settled && c.mark.synced >= c.at && c.at == c.start
	if c.u.v.level.holds(info) && !known {
		return c.u.settleData(c.f, c.at, c.mark)
	}
	c.u.v.marks.set(c.u.id, c.u.lease, c.mark)
	return nil
}

// endWithoutLease counts what was written while the lease was held. Nothing is
// cut off and nothing is remembered: the upload is somebody else's.
func (c *chunk) endWithoutLease(info tusd.FileInfo, err error) (int64, error) {
	c.u.v.marks.forget(c.u.id)
	if c.u.v.level.holds(info) {
		if syncErr := c.f.Sync(); syncErr != nil || c.lost {
			return 0, errors.Join(err, syncErr)
		}
	}
	return c.at - c.start, err
}

// cutOff removes what may be lost: after a failed sync nobody knows which
// bytes reached the disk, and a second sync would not tell.
func (c *chunk) cutOff(err error) (int64, error) {
	m := c.mark
	if m.synced == unknown || m.synced > c.start {
		m.synced = c.start
	}
	cutErr := errors.Join(c.f.Truncate(m.synced), c.f.Sync())
	m.cut = cutErr != nil
	c.u.v.marks.set(c.u.id, c.u.lease, m)
	c.u.change(func(info *tusd.FileInfo) { info.Offset = m.synced })
	return 0, errors.Join(err, cutErr)
}
