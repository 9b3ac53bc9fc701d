package filelocker

import "github.com/tus/tusd"

// A LockPreempt that waits for another process has requestSlot, which the holder
// sees. A newer request first takes newerRequestSlot, and keeps it until the older one
// has seen that and has freed requestSlot. So the newest of all requests remains. Of
// several that come within one interval, any may be the last.

// requestPreemption shows the request of s to the other processes. It returns
// ErrUploadLocked if the request of another process is newer. It is called before each
// wait.
func (l *FileLocker) requestPreemption(s *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	dir, err := l.directory()
	if err != nil {
		return err
	}
	return s.showRequest(dir.slots)
}

func (s *lease) showRequest(b slotTable) error {
	if !s.requesting {
		if ok, err := b.take(newerRequestSlot.slot(s.hash)); err != nil || !ok {
			return err
		}
	}
	// Take it at each call: a request of this process for another id with the
	// same hash may have freed it.
	var err error
	if s.requesting, err = b.take(requestSlot.slot(s.hash)); err != nil || !s.requesting {
		return err
	}
	if err := b.free(newerRequestSlot.slot(s.hash)); err != nil {
		return err
	}
	overtaken, err := isTakenByOther(b, newerRequestSlot.slot(s.hash))
	if overtaken {
		return tusd.ErrUploadLocked
	}
	return err
}

// withdrawRequest ends the request of s. An error is ignored: a holder would be
// preempted without need.
func (l *FileLocker) withdrawRequest(s *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir == nil {
		return // closed, which has freed all slots
	}
	l.dir.slots.free(newerRequestSlot.slot(s.hash))
	l.dir.slots.free(requestSlot.slot(s.hash))
}
