package limitedstore

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tus/tusd"
)

// The times after which a client that is refused should try again.
const (
	retryWhenCounting = 10 * time.Second
	retryWhenEvicting = 5 * time.Second
	retryWhenFull     = time.Minute
)

// largest returns the length of the largest upload that an owner can have.
func (s *LimitedStore) largest(o owner) int64 {
	limit := s.ledger.limit
	if o != (owner{}) {
		for _, of := range []int64{s.OwnerQuota, s.OwnerMaxUpload} {
			if of > 0 {
				limit = min(limit, of)
			}
		}
	}
	return limit
}

// checkPossible returns ErrMaxSizeExceeded if an upload of n bytes never fits.
func (s *LimitedStore) checkPossible(n int64, o owner) error {
	if limit := s.largest(o); n > limit {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("limitedstore: %d bytes never fit: at most %d are possible", n, limit))
	}
	return nil
}

// declare is reserve for a length that the client declares for an existing upload.
func (c *change) declare(length int64) error {
	if err := c.store.checkPossible(length, c.counted().owner); err != nil {
		return err
	}
	return c.reserve(length)
}

// reserve reserves bytes until the upload has n, or refuses them. It may make room, and wait
// for that.
func (c *change) reserve(n int64) error {
	more := n - c.counted().reserved
	if more <= 0 {
		return nil
	}
	_, err := c.take(more, more)
	if errors.Is(err, errFull) && c.store.evictor.isOn() {
		err = c.waitForRoom(more)
	}
	if err != nil && c.store.ledger.free() > 0 && errors.Is(err, tusd.ErrNoSpace) {
		return fmt.Errorf("%w: %w", tusd.ErrAnnouncedOnly, err)
	}
	return err
}

// errFull marks a refusal because of the limit, which eviction can help.
var errFull = errors.New("the store is full")

// take reserves up to n more bytes, and at least the lowest number.
func (c *change) take(n, lowest int64) (int64, error) { return c.takeFor(nil, n, lowest) }

// takeFor is take for a request that waits for run.
func (c *change) takeFor(run *evictionRun, n, lowest int64) (int64, error) {
	s := c.store
	if err := s.checkHeld(); err != nil {
		return 0, err
	}
	for {
		if err := c.check(); err != nil {
			return 0, err
		}
		taken, result := s.ledger.take(c.account, run, n, lowest)
		switch result {
		case reserved:
			return taken, nil
		case unraised:
			if err := s.raise(c.ctx, n); err != nil {
				return 0, err
			}
		default:
			return 0, s.refusal(result, lowest)
		}
	}
}

// refusal returns the error for n bytes that do not fit.
func (s *LimitedStore) refusal(result reservation, n int64) error {
	s.keeper.wantCount()
	switch {
	case !s.ledger.isExact():
		return retryLater(tusd.ErrNoSpace, retryWhenCounting, fmt.Errorf("limitedstore: %d bytes may not fit; the uploads are being counted", n))
	case result == noQuota:
		return retryLater(tusd.ErrQuotaExceeded, retryWhenFull, fmt.Errorf("limitedstore: %d more bytes exceed the quota of %d", n, s.OwnerQuota))
	case s.evictor.isOn():
		return retryLater(tusd.ErrNoSpace, retryWhenEvicting, fmt.Errorf("limitedstore: %d bytes do not fit: %w, room is made", n, errFull))
	}
	return retryLater(tusd.ErrNoSpace, retryWhenFull, fmt.Errorf("limitedstore: %d bytes do not fit: %w, %d of %d are free", n, errFull, s.ledger.free(), s.ledger.limit))
}

func retryLater(e *tusd.Error, after time.Duration, cause error) error {
	e = e.With(cause)
	e.RetryAfter = after
	return e
}

// source is the source of a write. It reserves the bytes that it returns, unless the upload
// has reserved them before.
type source struct {
	change   *change
	src      io.Reader
	end      int64 // offset of the upload behind what was read
	reserved int64 // by the upload
	limit    int64 // of the upload's length
	err      error // that Read has returned
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.end += int64(n)
	if over := s.end - s.reserved; over > 0 {
		if refused := s.grow(over); refused != nil {
			n, err = n-int(s.end-s.reserved), refused
			s.end = s.reserved
		}
	}
	s.err = err
	return n, err
}

// grow reserves n more bytes, or as many as fit.
func (s *source) grow(n int64) error {
	if s.end > s.limit {
		n -= s.end - s.limit
	}
	taken, err := s.change.takeGrowth(n)
	s.reserved += taken
	if err == nil && s.end > s.limit {
		err = tusd.ErrMaxSizeExceeded.With(fmt.Errorf("limitedstore: an upload can have %d bytes", s.limit))
	}
	return err
}

// caused reports whether the error of a write is that of the source.
func (s *source) caused(err error) bool {
	return s.err != nil && s.err != io.EOF && errors.Is(err, s.err) && s.change.check() == nil
}

// takeGrowth reserves n bytes that an upload of deferred length has received, or as many as
// fit, with an error. It does not wait for room: the client tries again.
func (c *change) takeGrowth(n int64) (taken int64, err error) {
	for taken < n && err == nil {
		var some int64
		some, err = c.take(n-taken, 1)
		taken += some
	}
	if errors.Is(err, errFull) && c.store.evictor.isOn() {
		c.store.evictor.requestLater(min(c.store.ledger.limit/100+n, growthRoom))
	}
	return taken, err
}

// growthRoom is how much room at most is made for an upload of deferred length, in bytes.
const growthRoom = 16 << 20
