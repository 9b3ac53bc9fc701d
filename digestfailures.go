package tusd

import (
	"sync"
	"time"
)

// How long requests on an upload whose digest could not be brought up to date
// make no further attempt, each of which may read all of it.
const (
	firstDigestWait = 250 * time.Millisecond
	lastDigestWait  = 10 * time.Minute
)

// maxDigestFailures bounds the uploads that are remembered. Failures of others
// are not told.
const maxDigestFailures = 1000

// digestFailures are the uploads whose digests could not be brought up to date.
// The zero value is ready to use.
type digestFailures struct {
	mu  sync.Mutex
	ids map[idHash]digestFailure
}

type digestFailure struct {
	wait time.Duration // after the last attempt
	next time.Time     // attempt
}

// due reports whether another attempt may be made.
func (f *digestFailures) due(id string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !now.Before(f.ids[hashID(id)].next)
}

// add notes a failed attempt and reports whether it is to be told: it is the
// first one of this upload.
func (f *digestFailures) add(id string, now time.Time) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hash := hashID(id)
	failure, known := f.ids[hash]
	if !known && len(f.ids) >= maxDigestFailures {
		f.dropOld(now)
	}
	if !known && len(f.ids) >= maxDigestFailures {
		return false
	}
	failure.wait = min(max(2*failure.wait, firstDigestWait), lastDigestWait)
	failure.next = now.Add(failure.wait)
	if f.ids == nil {
		f.ids = make(map[idHash]digestFailure)
	}
	f.ids[hash] = failure
	return !known
}

// dropOld drops the uploads that requests have not asked for in a long time.
// The caller holds mu.
func (f *digestFailures) dropOld(now time.Time) {
	for hash, failure := range f.ids {
		if now.Sub(failure.next) >= lastDigestWait {
			delete(f.ids, hash)
		}
	}
}

// forget drops an upload whose digests are up to date, or that is gone.
func (f *digestFailures) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ids, hashID(id))
}
