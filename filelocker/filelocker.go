// Package filelocker locks uploads among the processes of one machine that
// serve one directory, for use with filestore.
//
// On Linux it decides by an open-file-description lock on one byte of the file
// .tusd.locks in that directory, at an offset that is a hash of the id. Nothing
// is written for a request, so it works on a full disk; process ids decide
// nothing, so it works between containers; and the operating system frees what
// a killed process held, at once. Elsewhere it locks a file per id.
//
// While another process wants a lock, that shows on further bytes. The holder
// looks for it at intervals, and so does who waits for the lock: a hand-over
// between processes takes up to the sum of both beside what the holder has to
// finish. Within a process requests are put in order by a tusd.LocalLocker and
// wait for no interval.
package filelocker

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// defaultPollInterval is the default of both intervals of a FileLocker.
const defaultPollInterval = 40 * time.Millisecond

// FileLocker locks uploads among the processes of one machine. Fill the fields
// before the first Lock and leave them alone afterwards. Its methods may be
// called concurrently.
type FileLocker struct {
	// Path is the upload directory. It has to exist when the first lock is
	// taken; filestore makes it.
	Path string
	// HolderPollInterval is how often a process that holds locks looks whether
	// another one wants them; 0 means 40 ms.
	HolderPollInterval time.Duration
	// AcquirerPollInterval is how often a request looks again for a lock that
	// another process holds; 0 means 40 ms.
	AcquirerPollInterval time.Duration

	hash func(id string) uint64             // nil: hashID; for tests
	open func(root *os.Root) (board, error) // nil: openBoard; for tests

	once  sync.Once        // prepares the two lines
	local tusd.LocalLocker // orders the requests of this process, in front of mu
	line  tusd.LocalLocker // of LockWait requests for one id, in front of local

	mu       sync.Mutex
	dir      *directory          // nil before the first Lock
	held     map[uint64]*lease   // by hash; leases on the same byte are linked
	asked    map[int64]time.Time // since when a slot of another locker was seen, by slot
	watching bool                // a goroutine looks after held
	closed   bool
}

var _ tusd.Locker = (*FileLocker)(nil)

// New returns a locker for the uploads in the directory path.
func New(path string) *FileLocker { return &FileLocker{Path: path} }

// UseIn makes l the locker of composer.
func (l *FileLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }

// Scope is ScopeMachine.
func (l *FileLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

// Close makes every further Lock fail. The directory is given back with the
// last lease, so that nothing is lost that is still held.
func (l *FileLocker) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.closeUnused()
}

// closeUnused gives the directory back if it is not needed any more. The
// caller holds l.mu.
func (l *FileLocker) closeUnused() error {
	if !l.closed || l.dir == nil || len(l.held) > 0 {
		return nil
	}
	dir := l.dir
	l.dir = nil
	return dir.close()
}

var errClosed = errors.New("filelocker: the locker is closed")

// directory is the opened upload directory.
type directory struct {
	root  *os.Root
	board board
	ended chan struct{} // closed with it
}

// directory opens the upload directory when it is first needed. The caller
// holds l.mu.
func (l *FileLocker) directory() (*directory, error) {
	if l.closed {
		return nil, errClosed
	}
	if l.dir != nil {
		return l.dir, nil
	}
	dir, err := l.openDirectory()
	if err != nil {
		return nil, fmt.Errorf("filelocker: open %s: %w", l.Path, err)
	}
	l.dir, l.held = dir, make(map[uint64]*lease)
	return dir, nil
}

func (l *FileLocker) openDirectory() (*directory, error) {
	if l.Path == "" {
		return nil, errors.New("the field Path is empty")
	}
	root, err := os.OpenRoot(l.Path)
	if err != nil {
		return nil, err
	}
	open := l.open
	if open == nil {
		open = openBoard
	}
	board, err := open(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &directory{root, board, make(chan struct{})}, nil
}

func (d *directory) close() error {
	close(d.ended)
	return errors.Join(d.board.close(), d.root.Close())
}

func (l *FileLocker) hashOf(id string) uint64 {
	if l.hash != nil {
		return l.hash(id) & hashMask
	}
	return hashID(id)
}

// interval is a setting or its default.
func interval(setting time.Duration) time.Duration {
	if setting <= 0 {
		return defaultPollInterval
	}
	return setting
}
