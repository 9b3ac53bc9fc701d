package filelocker

import "time"

// watch starts watchLeases if it does not run. There is one goroutine for all leases;
// it ends when it finds none, so that not every request starts one. The caller holds
// l.mu.
func (l *FileLocker) watch() {
	if !l.watching {
		l.watching = true
		go l.watchLeases(l.dir)
	}
}

// watchLeases preempts at intervals the holders whose locks other processes request.
func (l *FileLocker) watchLeases(dir *directory) {
	tick := time.NewTicker(interval(l.HolderPollInterval))
	defer tick.Stop()
	for {
		select {
		case <-dir.closed:
			return
		case <-tick.C:
			if !l.preemptHolders(dir) {
				return
			}
		}
	}
}

// preemptHolders preempts the holders whose locks other processes request. It returns
// false, and the watcher ends, if there are no leases.
//
// It costs one system call, and one more for each request that waits in another
// process, however many locks are held.
func (l *FileLocker) preemptHolders(dir *directory) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir != dir {
		return false // closed, or opened again with another watcher
	}
	dir.slots.refresh()
	if l.watching = len(l.held) > 0; !l.watching {
		return false
	}
	if dir.slots.removed() {
		l.abandonDirectory() // there are leases, so it closes nothing and returns no error
		return true
	}
	seen := l.requestsSeen
	l.requestsSeen = nil
	// After an error the rest is done at the next interval.
	dir.slots.takenByOthers(requestSlot.first(), newerRequestSlot.last(), func(first, last int64) { l.preemptRange(first, last, seen) })
	return true
}

// preemptRange preempts the holders of the ids whose slots are from first to last: one slot,
// or several adjacent ones. seen has the slots of the previous check. The caller holds
// l.mu.
func (l *FileLocker) preemptRange(first, last int64, seen map[int64]time.Time) {
	if first == last {
		l.preemptHash(hashOfSlot(first), l.firstSeen(first, seen))
		return
	}
	for hash := range l.held {
		if slots := [...]int64{requestSlot.slot(hash), newerRequestSlot.slot(hash)}; within(slots[0], first, last) || within(slots[1], first, last) {
			l.preemptHash(hash, time.Now())
		}
	}
}

// firstSeen returns when the request in slot was first seen, and remembers it.
func (l *FileLocker) firstSeen(slot int64, seen map[int64]time.Time) time.Time {
	since, ok := seen[slot]
	if !ok {
		since = time.Now()
	}
	if l.requestsSeen == nil {
		l.requestsSeen = make(map[int64]time.Time)
	}
	l.requestsSeen[slot] = since
	return since
}

func within(slot, first, last int64) bool { return first <= slot && slot <= last }

// preemptHash preempts the holders of hash, for a request that was first seen at
// seen. It does not preempt protected leases.
func (l *FileLocker) preemptHash(hash uint64, seen time.Time) {
	for s := l.held[hash]; s != nil; s = s.next {
		if !s.isProtected(seen) {
			l.local.Preempt(s.id)
		}
	}
}

const (
	staleRequest = time.Second     // a request that is older than a lease by this is of a stopped process
	protection   = 2 * time.Second // for this time such a request cannot preempt the lease
)

// isProtected reports whether a request that was first seen at seen cannot preempt the
// lease yet. A process that is stopped while it waits keeps its request for ever, and
// would preempt every holder in other processes within an interval. A running process
// would have got the lock before a much newer lease was granted. So such a lease is
// protected for some time.
func (s *lease) isProtected(seen time.Time) bool {
	return s.since.Sub(seen) > staleRequest && time.Since(s.since) < protection
}
