package filelocker

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxFences bounds the memory for the numbers of grants (about 100 bytes
// each). Forgetting them is always safe.
const maxFences = 1 << 16

// fences number grants. The number is the time by the machine's monotonic
// clock, which all its processes share: a grant begins after the one before
// has ended. The grant before is known while no other locker has been there.
//
// To notice that, without a write for each grant, every locker that joins a
// directory first takes presence and then makes the lock file one byte longer.
// The bytes are a hole, so this needs no room on the disk. Who has once found
// nobody else stays alone for as long as the size stays the same.
type fences struct {
	last  uint64            // n of the newest grant
	size  int64             // of the lock file when others were last looked for
	alone bool              // nobody else was there then, nor has been since
	known map[string]uint64 // n of the last grant of ids, all since then
	gone  bool              // the lock file has no name any more
	used  uint64            // n when the file was last made to look used
}

// join makes this locker known to the others.
func (b *ofdBoard) join() error {
	ok, err := b.set(presence, unix.F_RDLCK)
	if err != nil {
		return fmt.Errorf("share %s: %w", slotFile, err)
	}
	if !ok {
		return fmt.Errorf("share %s: another program has locked it", slotFile)
	}
	stat, err := b.file.Stat()
	if err != nil {
		return err
	}
	return b.file.Truncate(stat.Size() + 1)
}

// fence implements board. The caller has taken the slot that holds id.
func (b *ofdBoard) fence(id string) (n, before uint64) {
	f := &b.fences
	if !b.stillAlone() {
		f.known = nil
	}
	n = max(f.last+1, clock())
	f.last = n
	b.touch(n)
	if !f.alone {
		return n, 0
	}
	before = f.known[id]
	if f.known == nil || before == 0 && len(f.known) >= maxFences {
		f.known = make(map[string]uint64)
	}
	f.known[id] = n
	return n, before
}

// stillAlone tells whether nobody has joined since this was last asked. If
// somebody has, it looks who is there now.
func (b *ofdBoard) stillAlone() bool {
	var stat unix.Stat_t
	if err := unix.Fstat(int(b.fd), &stat); err != nil {
		b.alone = false
		return false
	}
	b.gone = stat.Nlink == 0
	if b.alone && b.size == stat.Size {
		return true
	}
	b.size, b.alone = stat.Size, true // the size first: who joins later changes it
	err := b.others(presence, presence, func(_, _ int64) { b.alone = false })
	if err != nil {
		b.alone = false
	}
	return false
}

// touchAfter is how often the lock file, which nobody writes to, gets a new time
// of change: jobs that remove what has not changed for days spare it.
const touchAfter = uint64(time.Hour)

// touch does that if it is time. An error only leaves the file looking old.
func (b *ofdBoard) touch(n uint64) {
	if b.used == 0 || n-b.used >= touchAfter {
		b.used = n
		now := time.Now()
		b.root.Chtimes(slotFile, now, now)
	}
}

// hidden implements board.
func (b *ofdBoard) hidden(look bool) bool {
	var stat unix.Stat_t
	if look && unix.Fstat(int(b.fd), &stat) == nil {
		b.gone = stat.Nlink == 0
	}
	return b.gone
}

// clock is the machine's monotonic clock in nanoseconds.
func clock() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprint("clock_gettime: ", err)) // every Linux has this clock
	}
	return uint64(now.Nano())
}
