package filestore

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// space is the free space and the size of a file system, in bytes.
type space struct{ free, size int64 }

// reservations counts the bytes that final uploads are going to write, by the directory
// whose file system they are on. The available space is the free space without MinFree and
// without the reservations. The zero value is ready to use.
type reservations struct {
	mu    sync.Mutex
	bytes map[*os.File]int64
}

func (c *reservations) of(dir *os.File) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes[dir]
}

// missingBytes returns the number of bytes that the upload still needs according to its
// record.
func missingBytes(info tusd.FileInfo) int64 {
	size := info.Size
	if info.SizeIsDeferred && info.KnownLength != nil {
		size = *info.KnownLength
	}
	return max(size-info.Offset, 0)
}

// fileSystemOf returns the open directory whose file system p is on.
func (v *volume) fileSystemOf(p treePath) *os.File {
	for _, r := range v.roots {
		if r.tree == p.tree {
			return r.dirFile
		}
	}
	return v.dirFile
}

// checkAnnounced refuses n more bytes that a client has announced if they do not
// fit now. It reserves nothing.
func (v *volume) checkAnnounced(data treePath, n int64) error {
	if n == 0 && v.minFree == 0 {
		return nil
	}
	dir := v.fileSystemOf(data)
	reserved := v.reservations.of(dir)
	space, err := v.spaceOf(dir)
	if err != nil {
		return err
	}
	if v.minFree < space.size && n > space.size-v.minFree {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf(
			"%d bytes never fit: the file system has %d, %d must stay free", n, space.size, v.minFree))
	}
	return v.checkAnnouncedFits(space, reserved, n)
}

// checkAnnouncedFits is checkFits for bytes that a client has only announced. If
// fewer bytes would fit, the error is an ErrAnnouncedOnly.
func (v *volume) checkAnnouncedFits(space space, reserved, n int64) error {
	err := v.checkFits(space, reserved, n)
	if err != nil && space.free-reserved > v.minFree {
		return fmt.Errorf("%w: %w", tusd.ErrAnnouncedOnly, err)
	}
	return err
}

// available returns how many bytes fit, or an error if that is less than n.
func (v *volume) available(dir *os.File, n int64) (int64, error) {
	reserved := v.reservations.of(dir) // before spaceOf: bytes written in between count twice, not zero times
	space, err := v.spaceOf(dir)
	if err != nil {
		return 0, err
	}
	return space.free - v.minFree - reserved, v.checkFits(space, reserved, n)
}

// checkFits refuses n more bytes if they do not fit.
func (v *volume) checkFits(space space, reserved, n int64) error {
	lacking := n - (space.free - v.minFree - reserved)
	if lacking <= 0 {
		return nil
	}
	err := tusd.ErrNoSpace.With(fmt.Errorf(
		"%d bytes do not fit: %d are free, %d must stay free, %d are reserved for final uploads", n, space.free, v.minFree, reserved))
	err.RetryAfter = retryAfter(lacking, space.size)
	return err
}

// retryAfter returns the time after which a client should retry if bytes of a file system
// are lacking. It grows with their share of the file system.
func retryAfter(bytes, size int64) time.Duration {
	const whole = time.Hour
	return time.Second + time.Duration(float64(whole)*float64(bytes)/float64(max(size, bytes)))
}

// reservation is the space that one final upload still needs.
type reservation struct {
	v         *volume
	dir       *os.File
	remaining int64
}

// reserve reserves n bytes, or refuses them. The caller calls used for the bytes
// that it has written, and release at the end.
func (v *volume) reserve(data treePath, n int64) (*reservation, error) {
	c := &reservation{v: v, dir: v.fileSystemOf(data), remaining: n}
	v.reservations.mu.Lock()
	defer v.reservations.mu.Unlock()
	if n > 0 {
		space, err := v.spaceOf(c.dir)
		if err == nil {
			err = v.checkAnnouncedFits(space, v.reservations.bytes[c.dir], n)
		}
		if err != nil {
			return nil, err
		}
	}
	if v.reservations.bytes == nil {
		v.reservations.bytes = make(map[*os.File]int64)
	}
	v.reservations.bytes[c.dir] += n
	return c, nil
}

// check refuses n more bytes if other programs have used the space.
func (c *reservation) check(n int64) error {
	space, err := c.v.spaceOf(c.dir)
	if err == nil && n > space.free-c.v.minFree {
		err = tusd.ErrNoSpace.With(fmt.Errorf("the space was used: %d bytes are free, %d must stay free", space.free, c.v.minFree))
	}
	return err
}

// used ends the reservation of n bytes.
func (c *reservation) used(n int64) {
	c.v.reservations.mu.Lock()
	defer c.v.reservations.mu.Unlock()
	n = min(n, c.remaining)
	c.remaining -= n
	c.v.reservations.bytes[c.dir] -= n
}

func (c *reservation) release() { c.used(c.remaining) }
