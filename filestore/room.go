package filestore

import (
	"fmt"
	"os"
	"sync"

	"github.com/tus/tusd"
)

// Room: what the file system has free, less what is to stay free (MinFree),
// less what is claimed for final uploads that are being built.

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

// checkRoom refuses n more bytes that do not fit. It promises nothing.
func (v *volume) checkRoom(data place, n int64) error {
	if n == 0 && v.minFree == 0 {
		return nil
	}
	_, err := v.roomFor(v.roomOf(data), n)
	return err
}

// roomFor returns how many bytes fit, unless that is less than n.
func (v *volume) roomFor(dir *os.File, n int64) (int64, error) {
	claimed := v.claims.of(dir) // first: what is written meanwhile counts twice rather than not at all
	return v.roomBeside(dir, claimed, n)
}

func (v *volume) roomBeside(dir *os.File, claimed, n int64) (int64, error) {
	free, err := v.freeSpace(dir)
	if err != nil {
		return 0, err
	}
	room := free - v.minFree - claimed
	if n > room {
		return 0, tusd.ErrNoSpace.With(fmt.Errorf(
			"%d bytes do not fit: %d are free, %d are to stay so, %d are claimed for final uploads", n, free, v.minFree, claimed))
	}
	return room, nil
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
		if _, err := v.roomBeside(c.dir, v.claims.bytes[c.dir], n); err != nil {
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
	free, err := c.v.freeSpace(c.dir)
	if err == nil && n > free-c.v.minFree {
		err = tusd.ErrNoSpace.With(fmt.Errorf("the room is gone: %d bytes are free, %d are to stay so", free, c.v.minFree))
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
