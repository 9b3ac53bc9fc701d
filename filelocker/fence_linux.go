package filelocker

import (
	"fmt"
	"hash/maphash"
	"time"

	"golang.org/x/sys/unix"
)

// maxFences bounds the memory for the numbers of grants (about 30 bytes each).
// Forgetting them is always safe.
const maxFences = 1 << 16

// fences number grants. The number is the time by the machine's monotonic
// clock, which all its processes share: a grant begins after the one before
// has ended. Who is alone counts on from the time at which that began, which
// is slower than the clock.
//
// The grant before is known while no other locker has been there. To notice
// that, without a write for each grant, every locker that joins a directory
// first takes presence and then makes the lock file one byte longer. The bytes
// are a hole, so this needs no room on the disk. Who is alone, and finds the
// size that it was when it was alone before, has been since.
type fences struct {
	last  uint64            // n of the newest grant
	size  int64             // of the lock file when this locker was last alone
	known map[idHash]uint64 // n of the last grant of ids, since nobody else has been there
	used  uint64            // n when the file was last made to look used
}

// idHash stands for an id, without keeping it, within this process. If two had
// the same one, each would be told the other's grant as the one before its own,
// which is a number that no state of its own was written under.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashForFence(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// begin is called when this locker has become alone.
func (b *ofdBoard) begin() {
	if size := b.look(); b.size != size || size < 0 {
		b.size, b.known = size, nil
	}
	b.last = max(b.last, clock())
}

// fence implements board. The caller has taken the slot that holds id.
func (b *ofdBoard) fence(id string) (n, before uint64) {
	f := &b.fences
	if !b.alone {
		delete(f.known, hashForFence(id)) // who waits may go without having joined
		f.last = max(f.last+1, clock())
		return f.last, 0
	}
	f.last++
	hash := hashForFence(id)
	before = f.known[hash]
	if f.known == nil || before == 0 && len(f.known) >= maxFences {
		f.known = make(map[idHash]uint64)
	}
	f.known[hash] = f.last
	return f.last, before
}

// look notices what others have done to the lock file, and returns its size,
// -1 if that cannot be known. It keeps the file from looking unused.
func (b *ofdBoard) look() int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(b.fd), &stat); err != nil {
		return -1
	}
	b.gone = stat.Nlink == 0
	b.touch(clock())
	return stat.Size
}

// touchAfter is how often the lock file, which nobody writes to, gets a new time
// of change: jobs that remove what has not changed for days spare it.
const touchAfter = uint64(time.Hour)

// touch does that if it is time. An error only leaves the file looking old.
func (b *ofdBoard) touch(now uint64) {
	if b.used == 0 || now-b.used >= touchAfter {
		b.used = now
		now := time.Now()
		b.root.Chtimes(slotFile, now, now)
	}
}

// clock is the machine's monotonic clock in nanoseconds.
func clock() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprint("clock_gettime: ", err)) // every Linux has this clock
	}
	return uint64(now.Nano())
}
