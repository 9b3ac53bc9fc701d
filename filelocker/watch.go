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
	// After an error some are told the next time.
	dir.board.others(ask.first(), push.last(), l.askHolders)
	return true
}

// askHolders passes on that the slots from first to last are taken: one, or,
// if neighbours are, several. The caller holds l.mu.
func (l *FileLocker) askHolders(first, last int64) {
	if first == last {
		l.askHolder(hashOfSlot(first))
		return
	}
	for hash := range l.held {
		if slots := [...]int64{ask.slot(hash), push.slot(hash)}; within(slots[0], first, last) || within(slots[1], first, last) {
			l.askHolder(hash)
		}
	}
}

func within(slot, first, last int64) bool { return first <= slot && slot <= last }

func (l *FileLocker) askHolder(hash uint64) {
	for s := l.held[hash]; s != nil; s = s.beside {
		l.local.Ask(s.id)
	}
}
