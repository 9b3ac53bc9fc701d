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
	// While a chunk arrives, the kernel writes it back in ranges, of which at
	// most maxWriteBackRanges are in progress. So less than 8 MiB are not yet on
	// disk (these ranges, the next one and a buffer), and the sync at the end is
	// short.
	writeBackRange     = 2 << 20
	maxWriteBackRanges = 2
)

// WriteChunk implements tusd.Upload.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	c, err := u.begin(ctx, offset)
	if err != nil {
		return 0, failed("write to upload", u.id, err)
	}
	defer c.f.Close()
	err = c.copy(ctx, src)
	n, err := c.finish(err)
	return n, failed("write to upload", u.id, err)
}

// chunk is one chunk while it is written to the data file.
type chunk struct {
	u     *upload
	f     durable.File
	state syncState // before the chunk
	start int64     // where the chunk begins
	end   int64     // the end of the written bytes

	// write-back was started for the bytes before started, and has ended for
	// those before waited
	started, waited int64
	// lost is set when a write-back failed: bytes before end may be lost.
	lost bool
	// torn is set when a write failed: the file may have bytes behind end.
	torn bool
	// spaceCheckedTo is the offset up to which the last check found space.
	spaceCheckedTo int64
}

// spaceCheckInterval is the number of bytes between two checks of the
// free space.
const spaceCheckInterval = 1 << 20

// begin opens the data for a chunk and marks the upload as being written. After
// success the caller closes c.f and ends the chunk: c.finish, c.writeAtomic or c.rollBack.
func (u *upload) begin(ctx context.Context, offset int64) (*chunk, error) {
	if err := u.checkLease(ctx); err != nil {
		return nil, err
	}
	state, err := u.knownState()
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
	c := &chunk{u: u, f: f, state: state, start: offset, end: offset, started: offset, waited: offset}
	state.writing, state.start = true, offset
	u.v.uploads.setState(u.id, u.lease, state)
	return c, nil
}

// knownState returns the sync state of u. If there is none (any more), or unsynced
// bytes must be cut off first, it reads the state from the files.
func (u *upload) knownState() (syncState, error) {
	state, ok := u.v.uploads.trustedState(u.id, u.v.scope, u.lease)
	if ok && !state.cut {
		return state, nil
	}
	offset, state, err := u.findOffset()
	if err != nil {
		return syncState{}, err
	}
	u.change(func(info *tusd.FileInfo) { info.Offset = offset })
	return state, nil
}

// copy writes the bytes of src until its end, an error, or the end of ctx or of the
// lease. What one Read returns is written at once, so the time of the data shows how long ago
// bytes have arrived: a slow chunk keeps its upload young.
func (c *chunk) copy(ctx context.Context, src io.Reader) error {
	b := c.u.v.readBuffers.acquire()
	defer b.release()
	for {
		space := b.at(c.end)
		n, readErr := src.Read(space)
		if err := c.u.checkLease(ctx); err != nil {
			return err
		}
		if err := c.write(space[:n]); err != nil {
			return err
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
		b.adapt(n, space)
	}
}

// write appends p.
func (c *chunk) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if end := c.u.maxOffset(); int64(len(p)) > end-c.end {
		return tusd.ErrUploadSizeExceeded.With(fmt.Errorf("the source goes beyond %d bytes", end))
	}
	if err := c.checkFreeSpace(int64(len(p))); err != nil {
		return err
	}
	n, err := c.f.WriteAt(p, c.end)
	c.end += int64(n)
	if err != nil {
		c.torn = true
		return err
	}
	return c.writeBack()
}

// checkFreeSpace refuses n more bytes that would leave less than MinFree. The check
// at the creation is not enough: other uploads grow, and the length may be
// deferred.
func (c *chunk) checkFreeSpace(n int64) error {
	v := c.u.v
	if v.minFree == 0 || c.end+n <= c.spaceCheckedTo {
		return nil
	}
	available, err := v.available(v.fileSystemOf(c.u.data), n)
	if err != nil {
		return err
	}
	c.spaceCheckedTo = c.end + n + min(spaceCheckInterval, available-n)
	return nil
}

// writeBack keeps the number of unsynced bytes small.
func (c *chunk) writeBack() error {
	if c.u.v.level == None {
		return nil
	}
	for c.end-c.started >= writeBackRange {
		if err := c.f.StartWriteBack(c.started, writeBackRange); err != nil {
			c.lost = true
			return err
		}
		c.started += writeBackRange
		if c.started-c.waited <= maxWriteBackRanges*writeBackRange {
			continue
		}
		all, err := c.f.WaitWriteBack(c.waited, writeBackRange)
		if err != nil {
			c.lost = true
			return err
		}
		if c.waited += writeBackRange; all {
			c.waited = c.started
		}
	}
	return nil
}

// finish makes the bytes durable that were written before err, and returns their
// number. If that fails, it cuts them off.
func (c *chunk) finish(err error) (int64, error) {
	u := c.u
	info := u.current()
	info.Offset = c.end
	if u.lease.Context().Err() != nil {
		return c.endWithoutLease(info, err)
	}
	if c.torn {
		c.lost = c.f.Truncate(c.end) != nil || c.lost
	}
	if c.lost {
		return c.cutOff(err)
	}
	if syncErr := c.makeDurable(info); syncErr != nil {
		return c.cutOff(errors.Join(err, syncErr))
	}
	if u.change(func(now *tusd.FileInfo) { now.Offset = c.end }); c.end > c.start {
		u.setChanged()
	}
	return c.end - c.start, err
}

// makeDurable syncs what the level requires for info, and ends the state of being
// written.
func (c *chunk) makeDurable(info tusd.FileInfo) error {
	known := c.state.namesSynced && c.state.synced >= c.end && c.end == c.start
	if c.u.v.level.mustSync(info) && !known {
		return c.u.syncData(c.f, c.end, c.state)
	}
	c.u.v.uploads.setState(c.u.id, c.u.lease, c.state)
	return nil
}

// endWithoutLease returns the number of bytes that were written before the lease
// was lost. It cuts nothing off and caches nothing: another holder may be writing.
func (c *chunk) endWithoutLease(info tusd.FileInfo, err error) (int64, error) {
	c.u.v.uploads.invalidateState(c.u.id)
	if c.u.v.level.mustSync(info) {
		if syncErr := c.f.Sync(); syncErr != nil || c.lost {
			return 0, errors.Join(err, syncErr)
		}
	}
	return c.end - c.start, err
}

// cutOff cuts off the bytes that may be lost. After a failed sync it is unknown
// which bytes are on disk, and a second sync would succeed without writing them.
func (c *chunk) cutOff(err error) (int64, error) {
	state := c.state
	if state.synced == unknownOffset || state.synced > c.start {
		state.synced = c.start
	}
	cutErr := errors.Join(c.f.Truncate(state.synced), c.f.Sync())
	state.cut = cutErr != nil
	c.u.v.uploads.setState(c.u.id, c.u.lease, state)
	c.u.change(func(info *tusd.FileInfo) { info.Offset = state.synced })
	return 0, errors.Join(err, cutErr)
}
