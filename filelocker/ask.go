package filelocker

import "github.com/tus/tusd"

// A LockPreempt that waits for another process has ask, where the holder sees it.
// A newer one comes in by way of push: it keeps that until the older one has
// seen it and given up ask. So of all that ask, the newest is left. Of several
// that come at once, within an interval, any may be the last.

// ask shows the other processes that s wants its lock. It returns
// ErrUploadLocked if another process's request is newer. It is called before
// each pause.
func (l *FileLocker) ask(s *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	dir, err := l.directory()
	if err != nil {
		return err
	}
	return s.askOn(dir.board)
}

func (s *lease) askOn(b board) error {
	if !s.asking {
		if ok, err := b.take(push.slot(s.hash)); err != nil || !ok {
			return err
		}
	}
	// Also if it has asked before: a request of this process for another id
	// with the same hash may have given the slot back.
	var err error
	if s.asking, err = b.take(ask.slot(s.hash)); err != nil || !s.asking {
		return err
	}
	if err := b.free(push.slot(s.hash)); err != nil {
		return err
	}
	overtaken, err := taken(b, push.slot(s.hash))
	if overtaken {
		return tusd.ErrUploadLocked
	}
	return err
}

// withdraw ends what ask has shown. An error would only make a holder let go
// for nothing.
func (l *FileLocker) withdraw(s *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir == nil {
		return // closed meanwhile, which gave everything back
	}
	l.dir.board.free(push.slot(s.hash))
	l.dir.board.free(ask.slot(s.hash))
}
