package s3store

import (
	"fmt"
	"hash/fnv"

	"github.com/tus/tusd"
)

// A call to store a part may be given up, by this process or with another that
// was killed, and reach the service later. If its number belongs to a listed
// part by then, that one is replaced: its bytes, which were acknowledged, are
// lost, and the upload cannot be completed. So numbers that such a call may
// have are not taken again, as long as there are enough.

// maxUnrecorded is how many numbers behind those of the listed parts another
// process may have taken: parts that wait to be listed, and those that are
// sent at the same time.
const maxUnrecorded = 2*recordEvery + defaultConcurrency

// chooseNumber chooses that of the next part.
//
// While the state is only a guess, somebody else may have stored another part
// with the next number, which must not be replaced either. So the first number
// of a request is one that another part hardly has: it depends on the range of
// bytes, and a part of the same range is the same part. That is good for one
// part, and where numbers are not scarce; else the guess is confirmed.
func (l *partWriter) chooseNumber(size int64) (int, error) {
	number, start := l.next()
	st := l.state()
	guessed := l.u.isUnvalidated()
	if !guessed && !l.mayCollide() && number > st.maxLateNumber {
		return number, nil
	}
	if l.numbers == 0 && !l.u.b.profile.NoGaps {
		free := max(number, st.maxLateNumber+1)
		if room := l.u.b.partSizes.numbersToSpare(free, start, st.length()); room >= leastSpread {
			return free + 1 + spread(start, size, room-1), nil
		}
	}
	if guessed {
		return number, l.u.validate(l.ctx)
	}
	return number, nil
}

// mayCollide tells whether another process may be storing bytes of the upload
// at the same time. Its part of another range of bytes must not replace ours,
// whichever of the two is listed. After the first number of a request it is as
// unlikely as it can be made without a lock.
func (l *partWriter) mayCollide() bool { return l.numbers == 0 && l.u.b.scope == tusd.ScopeProcess }

// maxLateNumber is the greatest number that a part of another process may have,
// for a state that was read.
func (c *layout) maxLateNumber() int {
	if c.Multipart == "" {
		return 0
	}
	return c.nextNumber() - 1 + maxUnrecorded
}

// The numbers among which one is chosen that no other part is likely to have.
// Only a share of those that an upload can do without are used up.
const (
	leastSpread = 8
	mostSpread  = 256
	spreadShare = 32
)

// numbersToSpare is how many numbers behind one an upload can jump over at most,
// and often, without needing larger parts.
func (l *partSizes) numbersToSpare(number int, stored, length int64) int {
	for room := mostSpread; room >= leastSpread; room /= 2 {
		size, err := l.minSize(number+spreadShare*room, stored, length)
		if err == nil && size == l.minPart {
			return room
		}
	}
	return 0
}

// spread is a number below room for a range of bytes.
func spread(start, size int64, room int) int {
	h := fnv.New32a()
	fmt.Fprint(h, start, " ", size) // a hash never fails
	return int(h.Sum32() % uint32(room))
}
