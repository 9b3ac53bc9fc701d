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

// fences number grants. A number is the time by the machine's monotonic clock,
// which all its processes share: a grant begins after the one before has ended.
// While it is alone a locker counts on from the time at which it noticed that,
// which is slower than the clock.
//
// The grant before is known while this locker is the only one. To notice
// another one without a write for each grant, every locker that joins first shares
// presence and then makes the lock file one byte longer, before its first grant.
// A locker is alone at a size if it first reads that size and then finds that no
// other shares presence. It stays alone as long as the size stays the same: what
// joins later is found by its byte, when its grants have ended and the lock can be had.
type fences struct {
	last  uint64            // n of the newest grant
	alone int64             // the size of the lock file at which this locker is alone; 0: at none
	known map[idHash]uint64 // n of the last grant of ids, since then
	used  uint64            // n when the file was last made to look used
}

// idHash stands for an id, without keeping it, within this process. If two had
// the same one, each would be told the other's grant as the one before its own,
// which is a number that no state of its own was written under.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashForFence(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// fence implements board. The caller has taken the slot that holds id.
func (b *ofdBoard) fence(id string) (n, before uint64) {
	f := &b.fences
	if !b.isAlone() {
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

// isAlone reports whether this is the only locker, and remembers since when.
func (b *ofdBoard) isAlone() bool {
	size := b.measure()
	if size == b.alone && size > 0 {
		return true
	}
	b.alone, b.known = 0, nil
	if others, err := taken(b, presence); others || err != nil || size <= 0 {
		return false
	}
	b.alone, b.last = size, max(b.last, clock())
	return true
}

// look implements board. It also keeps the lock file from looking unused.
func (b *ofdBoard) look() {
	b.measure()
	b.touch(clock())
}

// measure notices that the lock file was removed, and returns its size, -1 if
// that cannot be known.
func (b *ofdBoard) measure() int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(b.fd), &stat); err != nil {
		return -1
	}
	b.gone = stat.Nlink == 0
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
