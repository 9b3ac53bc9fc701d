package filelocker

import "github.com/tus/tusd"

// A LockTake that waits for another process takes ask, where the holder sees
// it. One that finds ask taken is newer than who has it. It takes push, until
// the older one has seen that and given up: of all that ask, the newest is
// left. Of several that come while push is taken, any may be next.

// ask shows the other processes that s wants its lock. It returns
// ErrUploadLocked if another process's request is newer.
//
// It is called at every look again, and takes again what it may have already:
// a request for another id with the same hash may have given it back.
func (l *FileLocker) ask(s *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	dir, err := l.directory()
	if err != nil {
		return err
	}
	b := dir.board
	asking, err := b.take(ask.slot(s.hash))
	if err != nil {
		return err
	}
	if !asking {
		_, err := b.take(push.slot(s.hash))
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
