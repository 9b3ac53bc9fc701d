package filelocker

import (
	"fmt"
	"hash/maphash"
	"time"

	"golang.org/x/sys/unix"
)

// maxFences bounds the memory for the numbers of grants (about 30 bytes each).
// Forgetting them is safe.
const maxFences = 1 << 16

// fences numbers the grants. A number is the time of the machine's monotonic clock,
// which all processes share: a grant begins after the one before has ended. While a
// locker is alone, it counts up from the time at which it noticed that, which is
// slower than the clock.
//
// The grant before is known only while this locker is alone. To notice others without
// a write for each grant, every locker that joins first shares membershipSlot and
// then makes the lock file one byte longer, before its first grant. A locker is alone
// at a size of the file if it first reads that size and then finds no other in
// membershipSlot. It stays alone as long as the size is the same: a locker that has
// joined since is found by its byte, when its grants have ended and the lock is free.
type fences struct {
	last        uint64            // number of the newest grant
	aloneAtSize int64             // the size of the lock file at which this locker is alone; 0: it is not
	known       map[idHash]uint64 // number of the last grant by id, since then
	touched     uint64            // clock at the last touch
}

// idHash is a hash of an id within this process. If two ids have the same hash, the number
// of one id's grant may be returned as the previous grant of the other. That is safe: no
// state of the other id has this number.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashForFence(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// fence implements slotTable. The caller has taken heldSlot of the id.
func (s *ofdSlots) fence(id string) (n, before uint64) {
	f := &s.fences
	if !s.isAlone() {
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

// isAlone reports whether this is the only locker, and remembers at which size.
func (s *ofdSlots) isAlone() bool {
	size := s.measure()
	if size == s.aloneAtSize && size > 0 {
		return true
	}
	s.aloneAtSize, s.known = 0, nil
	if others, err := isTakenByOther(s, membershipSlot); others || err != nil || size <= 0 {
		return false
	}
	s.aloneAtSize, s.last = size, max(s.last, clock())
	return true
}

// refresh implements slotTable. It also keeps the lock file from looking unused.
func (s *ofdSlots) refresh() {
	s.measure()
	s.touch(clock())
}

// measure returns the size of the lock file, or -1 if it is unknown, and notices that
// the file was removed.
func (s *ofdSlots) measure() int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(s.fd), &stat); err != nil {
		return -1
	}
	s.unlinked = stat.Nlink == 0
	return stat.Size
}

// touchAfter is the interval at which the lock file gets a new modification time. No
// process writes to it, and clean-up jobs remove files that have not changed for days.
const touchAfter = uint64(time.Hour)

// touch sets the modification time if touchAfter is over. An error is ignored.
func (s *ofdSlots) touch(now uint64) {
	if s.touched == 0 || now-s.touched >= touchAfter {
		s.touched = now
		now := time.Now()
		s.root.Chtimes(slotFileName, now, now)
	}
}

// clock returns the time of the machine's monotonic clock in nanoseconds.
func clock() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprint("clock_gettime: ", err)) // every Linux has this clock
	}
	return uint64(now.Nano())
}
