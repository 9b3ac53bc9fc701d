package filelocker

import "time"

// watch has a goroutine look after the leases, one for all of them. It is
// started by the first one and ends when it finds none, so that requests in
// quick succession do not start one each. The caller holds l.mu.
func (l *FileLocker) watch() {
	if !l.watching {
		l.watching = true
		go l.watchHeld(l.dir)
	}
}

func (l *FileLocker) watchHeld(dir *directory) {
	asks := time.NewTicker(interval(l.HolderPollInterval))
	defer asks.Stop()
	for {
		select {
		case <-dir.ended:
			return
		case <-asks.C:
			if !l.passOnAsks(dir) {
				return
			}
		}
	}
}

// passOnAsks tells the holders that other processes want their locks. It
// returns false, and the watcher ends, if nothing is held.
//
// The cost is that of one question, and of one more for each request that
// waits in another process, however many locks are held.
func (l *FileLocker) passOnAsks(dir *directory) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir != dir {
		return false // closed, or opened anew with a watcher of its own
	}
	dir.board.look()
	if l.watching = len(l.held) > 0; !l.watching {
		return false
	}
	if dir.board.hidden() {
		l.leaveHidden() // there are holders, so nothing is closed that could fail
		return true
	}
	seen := l.asked
	l.asked = nil
	// After an error some are told the next time.
	dir.board.others(ask.first(), push.last(), func(first, last int64) { l.askHolders(first, last, seen) })
	return true
}

// askHolders passes on that the slots from first to last are taken: one, or,
// if neighbours are, several. seen has those of the time before. The caller holds
// l.mu.
func (l *FileLocker) askHolders(first, last int64, seen map[int64]time.Time) {
	if first == last {
		l.askHolder(hashOfSlot(first), l.seenSince(first, seen))
		return
	}
	for hash := range l.held {
		if slots := [...]int64{ask.slot(hash), push.slot(hash)}; within(slots[0], first, last) || within(slots[1], first, last) {
			l.askHolder(hash, time.Now())
		}
	}
}

// seenSince returns since when the slot is seen, and remembers it.
func (l *FileLocker) seenSince(slot int64, seen map[int64]time.Time) time.Time {
	since, ok := seen[slot]
	if !ok {
		since = time.Now()
	}
	if l.asked == nil {
		l.asked = make(map[int64]time.Time)
	}
	l.asked[slot] = since
	return since
}

func within(slot, first, last int64) bool { return first <= slot && slot <= last }

// askHolder asks those who hold hash to let go, for a request that was first
// seen at a time.
func (l *FileLocker) askHolder(hash uint64, seen time.Time) {
	for s := l.held[hash]; s != nil; s = s.beside {
		if !s.mayKeep(seen) {
			l.local.Preempt(s.id)
		}
	}
}

const (
	staleAsk  = time.Second     // the age of a request that should have had the lock before a lease
	ownRights = 2 * time.Second // how long such a request does not end the lease
)

// mayKeep reports whether the holder need not let go yet, for a request that was
// first seen at a time. A process that is stopped while it waits for a lock asks for it
// for ever, and would end every upload of others within an interval. So a lease has
// a time for itself if the request is much older: a process that runs would have taken
// the lock before it.
func (s *lease) mayKeep(seen time.Time) bool {
	return s.since.Sub(seen) > staleAsk && time.Since(s.since) < ownRights
}
