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

// maxCatchUps limits how many uploads are read again at the same time. After a
// crash there may be many, and requests have priority.
const maxCatchUps = 2

// catchUpIfBehind starts to bring the digests of an upload up to date if they lack
// stored bytes: a crash lost the state of the hash, or another server stored them.
func (e *engine) catchUpIfBehind(info *FileInfo) {
	if !digestsBehind(*info) || info.State == StateFailed || !info.Full() && e.readsOnlyFull.Load() {
		return
	}
	if e.digestFailures.due(info.ID, e.now()) {
		e.catchUp(info.ID)
	}
}

// catchUp brings the digests of an upload up to date, in the background. It reads
// without a lock and locks the upload only to write the digests to the record.
func (e *engine) catchUp(id string) {
	if e.digesting.Len() >= maxWaitingCatchUps || !e.digesting.TryLock(id) {
		return
	}
	started := e.work.Start(func() {
		defer e.digesting.Unlock(id)
		e.hashSlots <- struct{}{}
		defer func() { <-e.hashSlots }()
		var err error
		for more := true; more && err == nil; { // the upload may have grown while it was read
			more, err = e.catchUpOnce(id)
		}
		e.logCatchUp(id, err)
	})
	if !started {
		e.digesting.Unlock(id)
	}
}

// catchUpOnce hashes the bytes that are stored now and reports whether the digests
// lack further ones afterwards.
func (e *engine) catchUpOnce(id string) (more bool, err error) {
	upload, info, err := e.peek(e.background, id)
	if err != nil {
		return false, err
	}
	states, err := hashMissing(e.background, upload, info)
	if !info.Full() && errors.Is(err, ErrIncompleteUpload) {
		e.readsOnlyFull.Store(true) // the digests catch up when the upload is full
		return false, nil
	}
	if err != nil {
		return false, err
	}
	u, err := e.lockAndLoad(e.background, id, LockWait)
	if err != nil {
		return false, err
	}
	defer u.release()
	if !u.info.Created.Equal(info.Created) {
		return false, nil // the upload was removed, and a new one has its id
	}
	err = u.storeDigests(u.ctx, furthest(u.info, states))
	return digestsBehind(u.info), err
}

// furthest returns, for each digest of an upload, the state that covers more of the
// stored bytes: the one in read, or the one that a request has saved since.
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

// digestsBehind reports whether a digest lacks stored bytes.
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

// logCatchUp logs a failure, once for each upload: later requests on it cause further
// attempts.
func (e *engine) logCatchUp(id string, err error) {
	switch {
	case err == nil || errors.Is(err, ErrNotFound):
		e.digestFailures.remove(id)
	case e.background.Err() != nil: // the server shuts down; a later one catches up
	case e.digestFailures.add(id, e.now()):
		log := e.workLog(err)
		log.Warn("a digest could not be brought up to date", "id", id, "err", err)
	}
}

// The delay between two attempts on one upload doubles from the first to the last of
// these. Each attempt may read all of the upload.
const (
	minDigestDelay = 250 * time.Millisecond
	maxDigestDelay = 10 * time.Minute
)

// maxDigestFailures limits the entries of digestFailures. Failures of further
// uploads are not logged.
const maxDigestFailures = 1000

// digestFailures are the uploads whose digests could not be brought up to date.
// The zero value is ready to use.
type digestFailures struct {
	mu  sync.Mutex
	ids map[idHash]digestFailure
}

type digestFailure struct {
	wait time.Duration // after the last attempt
	next time.Time     // earliest time of the next attempt
}

// due reports whether another attempt may be made.
func (f *digestFailures) due(id string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !now.Before(f.ids[hashID(id)].next)
}

// add records a failed attempt and reports whether it is the first one of the
// upload, which is logged.
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
	failure.wait = min(max(2*failure.wait, minDigestDelay), maxDigestDelay)
	failure.next = now.Add(failure.wait)
	if f.ids == nil {
		f.ids = make(map[idHash]digestFailure)
	}
	f.ids[hash] = failure
	return !known
}

// evictOld drops uploads that no request has used for a long time. The caller holds
// mu.
func (f *digestFailures) evictOld(now time.Time) {
	for hash, failure := range f.ids {
		if now.Sub(failure.next) >= maxDigestDelay {
			delete(f.ids, hash)
		}
	}
}

// remove drops an upload whose digests are up to date, or that was removed.
func (f *digestFailures) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ids, hashID(id))
}
