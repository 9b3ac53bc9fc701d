package filestore

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// Room: what the file system has free, less what is to stay free (MinFree),
// less what is claimed for final uploads that are being built.

// space is what a file system has, in bytes.
type space struct{ free, size int64 }

// claims are the bytes that are going to be written, by the directory whose
// file system they are for. The zero value is ready to use.
type claims struct {
	mu    sync.Mutex
	bytes map[*os.File]int64
}

func (c *claims) of(dir *os.File) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes[dir]
}

// missing is how many bytes an upload is still going to take, as far as its
// record tells.
func missing(info tusd.FileInfo) int64 {
	size := info.Size
	if info.SizeIsDeferred && info.KnownLength != nil {
		size = *info.KnownLength
	}
	return max(size-info.Offset, 0)
}

// roomOf is the directory whose file system p is on.
func (v *volume) roomOf(p place) *os.File {
	for _, r := range v.roots {
		if r.tree == p.tree {
			return r.room
		}
	}
	return v.room
}

// checkRoom refuses n more bytes that a client has announced and that do not fit.
// It promises nothing.
func (v *volume) checkRoom(data place, n int64) error {
	if n == 0 && v.minFree == 0 {
		return nil
	}
	dir := v.roomOf(data)
	claimed := v.claims.of(dir)
	space, err := v.spaceOf(dir)
	if err != nil {
		return err
	}
	if v.minFree < space.size && n > space.size-v.minFree {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf(
			"%d bytes never fit: the file system has %d, %d are to stay free", n, space.size, v.minFree))
	}
	return v.announced(space, claimed, n)
}

// announced is refuse for bytes that a client has only announced: if they are what
// is too much, and something is left, the error is an ErrAnnouncedOnly.
func (v *volume) announced(space space, claimed, n int64) error {
	err := v.refuse(space, claimed, n)
	if err != nil && space.free-claimed > v.minFree {
		return fmt.Errorf("%w: %w", tusd.ErrAnnouncedOnly, err)
	}
	return err
}

// roomFor returns how many bytes fit, unless that is less than n.
func (v *volume) roomFor(dir *os.File, n int64) (int64, error) {
	claimed := v.claims.of(dir) // first: what is written meanwhile counts twice rather than not at all
	space, err := v.spaceOf(dir)
	if err != nil {
		return 0, err
	}
	return space.free - v.minFree - claimed, v.refuse(space, claimed, n)
}

// refuse refuses n more bytes if they do not fit.
func (v *volume) refuse(space space, claimed, n int64) error {
	lacking := n - (space.free - v.minFree - claimed)
	if lacking <= 0 {
		return nil
	}
	err := tusd.ErrNoSpace.With(fmt.Errorf(
		"%d bytes do not fit: %d are free, %d are to stay so, %d are claimed for final uploads", n, space.free, v.minFree, claimed))
	err.RetryAfter = untilFree(lacking, space.size)
	return err
}

// untilFree is when it is worth to look again whether so many bytes of a file
// system have become free: the larger a part they are, the later.
func untilFree(bytes, size int64) time.Duration {
	const whole = time.Hour
	return time.Second + time.Duration(float64(whole)*float64(bytes)/float64(max(size, bytes)))
}

// claim is room that one final upload has to itself.
type claim struct {
	v    *volume
	dir  *os.File
	left int64
}

// claimRoom keeps room for n bytes, or refuses them. The caller calls used with
// what it has written, and drop in the end.
func (v *volume) claimRoom(data place, n int64) (*claim, error) {
	c := &claim{v: v, dir: v.roomOf(data), left: n}
	v.claims.mu.Lock()
	defer v.claims.mu.Unlock()
	if n > 0 {
		space, err := v.spaceOf(c.dir)
		if err == nil {
			err = v.announced(space, v.claims.bytes[c.dir], n)
		}
		if err != nil {
			return nil, err
		}
	}
	if v.claims.bytes == nil {
		v.claims.bytes = make(map[*os.File]int64)
	}
	v.claims.bytes[c.dir] += n
	return c, nil
}

// check refuses n more bytes if others have taken the room meanwhile.
func (c *claim) check(n int64) error {
	space, err := c.v.spaceOf(c.dir)
	if err == nil && n > space.free-c.v.minFree {
		err = tusd.ErrNoSpace.With(fmt.Errorf("the room is gone: %d bytes are free, %d are to stay so", space.free, c.v.minFree))
	}
	return err
}

// used gives up the claim on n bytes.
func (c *claim) used(n int64) {
	c.v.claims.mu.Lock()
	defer c.v.claims.mu.Unlock()
	n = min(n, c.left)
	c.left -= n
	c.v.claims.bytes[c.dir] -= n
}

func (c *claim) drop() { c.used(c.left) }
