package tusd

import (
	"context"
	"errors"
	"hash"
	"io"
	"slices"
	"sync"
	"time"
)

// maxCatchUps bounds how many uploads are read again side by side: after a
// crash many may have to be, and new uploads come first.
const maxCatchUps = 2

// catchUpIfBehind brings the digests of an upload up to date if they lack bytes:
// a crash has lost them, or another node has written.
func (e *engine) catchUpIfBehind(info *FileInfo) {
	if !digestsBehind(*info) || info.State == StateFailed || !info.Full() && e.readsOnlyFull.Load() {
		return
	}
	if e.digestFailures.due(info.ID, e.now()) {
		e.catchUp(info.ID)
	}
}

// catchUp reads, in the background and without a lock, what the digests of an
// upload lack, and then writes down how far they have come.
func (e *engine) catchUp(id string) {
	if e.digesting.Len() >= maxWaitingCatchUps || !e.digesting.TryLock(id) {
		return
	}
	started := e.work.Start(func() {
		defer e.digesting.Unlock(id)
		e.hashSlots <- struct{}{}
		defer func() { <-e.hashSlots }()
		var err error
		for more := true; more && err == nil; { // the upload may have grown in the meantime
			more, err = e.catchUpOnce(id)
		}
		e.logCatchUp(id, err)
	})
	if !started {
		e.digesting.Unlock(id)
	}
}

// catchUpOnce does that once and tells whether they still lack something.
func (e *engine) catchUpOnce(id string) (more bool, err error) {
	upload, info, err := e.peek(e.background, id)
	if err != nil {
		return false, err
	}
	states, err := hashMissing(e.background, upload, info)
	if !info.Full() && errors.Is(err, ErrIncompleteUpload) {
		e.readsOnlyFull.Store(true) // the digests catch up when all bytes are there
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h, err := e.lockAndLoad(e.background, id, LockWait)
	if err != nil {
		return false, err
	}
	defer h.release()
	if !h.info.Created.Equal(info.Created) {
		return false, nil // it is another upload by now
	}
	err = h.storeDigests(h.ctx, furthest(h.info, states))
	return digestsBehind(h.info), err
}

// furthest picks for each digest of an upload what covers more of the bytes
// that are there now: what was read, which is a prefix of them, or what
// somebody who ran along has kept in the meantime.
func furthest(info FileInfo, read []Digest) []Digest {
	states := slices.Clone(info.Digests)
	for i, d := range states {
		states[i] = d.within(info.Offset)
		for _, r := range read {
			r = r.within(info.Offset)
			if r.Algorithm == d.Algorithm && states[i].Sum == nil && (r.Offset > states[i].Offset || r.Sum != nil) {
				r.Want = d.Want
				states[i] = r
			}
		}
	}
	return states
}

// digestsBehind tells whether a digest lacks bytes that are stored.
func digestsBehind(info FileInfo) bool {
	return slices.ContainsFunc(info.Digests, func(d Digest) bool {
		return d.Sum == nil && d.known() && (d.Offset < info.Offset || info.Full())
	})
}

// hashMissing computes the digests of an upload up to its offset.
func hashMissing(ctx context.Context, upload Upload, info FileInfo) ([]Digest, error) {
	states := slices.Clone(info.Digests)
	for i, d := range states {
		if d = d.within(info.Offset); d.Sum != nil || !d.known() {
			continue
		}
		d, h := d.running()
		if err := hashStored(ctx, h, upload, d.Offset, info.Offset); err != nil {
			return nil, err
		}
		var err error
		if states[i], err = d.at(info.Offset, h, info.Full()); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// hashStored hashes the stored bytes from one offset to another.
func hashStored(ctx context.Context, h hash.Hash, upload Upload, from, to int64) error {
	if from == to {
		return nil
	}
	content, err := upload.GetReader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	if seeker, ok := content.(io.Seeker); ok {
		_, err = seeker.Seek(from, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, content, from)
	}
	const step = 8 << 20
	for err == nil && from < to {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(to-from, step)
		_, err = io.CopyN(h, content, n)
		from += n
	}
	return err
}

// logCatchUp logs a failure, once for each upload: the next request on it meets
// the same fault.
func (e *engine) logCatchUp(id string, err error) {
	switch {
	case err == nil || errors.Is(err, ErrNotFound):
		e.digestFailures.remove(id)
	case e.background.Err() != nil: // the next server does it
	case e.digestFailures.add(id, e.now()):
		e.log.Warn("a digest could not be brought up to date", "id", id, "err", err)
	}
}

// How long requests on an upload whose digest could not be brought up to date
// make no further attempt, each of which may read all of it.
const (
	minDigestWait = 250 * time.Millisecond
	maxDigestWait = 10 * time.Minute
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
func (f *digestFailures) add(id string, now time.Time) (isFirst bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hash := hashID(id)
	failure, known := f.ids[hash]
	if !known && len(f.ids) >= maxDigestFailures {
		f.evictOld(now)
	}
	if !known && len(f.ids) >= maxDigestFailures {
		return false
	}
	failure.wait = min(max(2*failure.wait, minDigestWait), maxDigestWait)
	failure.next = now.Add(failure.wait)
	if f.ids == nil {
		f.ids = make(map[idHash]digestFailure)
	}
	f.ids[hash] = failure
	return !known
}

// evictOld drops the uploads that requests have not asked for in a long time.
// The caller holds mu.
func (f *digestFailures) evictOld(now time.Time) {
	for hash, failure := range f.ids {
		if now.Sub(failure.next) >= maxDigestWait {
			delete(f.ids, hash)
		}
	}
}

// remove drops an upload whose digests are up to date, or that is gone.
func (f *digestFailures) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ids, hashID(id))
}
