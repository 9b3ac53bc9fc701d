package s3store

import (
	"fmt"
	"hash/fnv"
)

// A call to store a part may be aborted, or its process killed, and still reach
// the service later. If a recorded part has its number by then, that part is
// replaced: its acknowledged bytes are lost, and the upload cannot be completed.
// So the numbers of such calls are not used again, if there are enough others.

// maxUnrecorded estimates how many numbers after those of the recorded parts
// another process has used: for parts that wait to be recorded, and for those that
// are being uploaded, with the default of ConcurrentParts. Beyond it, the random
// spread of the first number makes a conflict unlikely.
const maxUnrecorded = 2*recordEvery + defaultConcurrency

// chooseNumber chooses the number of the next part.
//
// Behind a state that was read from the service, parts of other processes may arrive. So the
// first number of a request is greater than theirs, and depends on the range of bytes: a part
// of another range is unlikely to have it, and a part of the same range is the same part. Where
// numbers are scarce, or must follow one another, it is the next number.
func (w *partWriter) chooseNumber(size int64) (int, error) {
	number, start := w.next()
	st := w.state()
	if w.numbers > 0 || w.u.b.profile.NoGaps {
		return number, nil
	}
	if number <= st.maxLateNumber {
		free := st.maxLateNumber + 1
		if spare := w.u.b.partSizes.numbersToSpare(free, start, st.length()); spare >= leastSpread {
			return free + 1 + spread(start, size, spare-1), nil
		}
	}
	if w.u.claimed && !w.unrecorded && !w.u.b.skipsNumbers(&st) {
		return number, w.u.confirm(w.ctx, st)
	}
	return number, nil
}

// skipsNumbers reports whether a process that loads this state skips the numbers that
// another process may be using.
func (b *bucket) skipsNumbers(st *state) bool {
	free := st.layout.nextNumber() + maxUnrecorded
	return b.partSizes.numbersToSpare(free, st.layout.end(), st.length()) >= leastSpread
}

// maxLateNumber returns the greatest number that an unrecorded part of another
// process may have, for a state that was loaded.
func (c *layout) maxLateNumber() int {
	if c.Multipart == "" {
		return 0
	}
	return c.nextNumber() - 1 + maxUnrecorded
}

// The first number of a request is chosen from a spread of unused ones. The
// spread uses only a share of the numbers that an upload does not need.
const (
	leastSpread = 8
	mostSpread  = 256
	spreadShare = 32
)

// numbersToSpare returns how many numbers behind number an upload can skip,
// repeatedly, without needing larger parts.
func (s *partSizes) numbersToSpare(number int, stored, length int64) int {
	for spare := mostSpread; spare >= leastSpread; spare /= 2 {
		size, err := s.minSize(number+spreadShare*spare, stored, length)
		if err == nil && size == s.minPart {
			return spare
		}
	}
	return 0
}

// spread returns a number below limit that depends on a range of bytes.
func spread(start, size int64, limit int) int {
	h := fnv.New32a()
	fmt.Fprint(h, start, " ", size) // a hash never fails
	return int(h.Sum32() % uint32(limit))
}
