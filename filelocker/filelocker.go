// Package filelocker locks uploads among the processes of one machine that serve
// one directory. It is made for filestore.
//
// On Linux a lock is an open-file-description lock on one byte of the file
// .tusd.locks in that directory. The position of the byte is a hash of the id.
// Nothing is written for a lock, so it works on a full disk. Process ids are not
// used, so it works between containers. The operating system releases the locks of
// a killed process at once. On other systems a lock is a locked file per id.
//
// A request that preempts a holder in another process locks a second byte. The holder
// checks for such bytes at intervals, and the waiter checks at intervals whether the lock
// is free: a hand-over between processes takes up to both intervals, and the time that
// the holder needs to finish. Requests within one process are ordered by
// a lock of the process and do not wait for an interval.
package filelocker

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// defaultPollInterval is the default of both intervals of a FileLocker.
const defaultPollInterval = 40 * time.Millisecond

// FileLocker locks uploads among the processes of one machine. Fill in the fields
// before the first Lock and do not change them afterwards. Its methods may be called
// concurrently.
type FileLocker struct {
	// Path is the upload directory. It must exist at the first Lock; filestore creates
	// it.
	Path string
	// HolderPollInterval is the interval at which a process with locks checks for
	// requests of other processes; 0 means 40 ms.
	HolderPollInterval time.Duration
	// AcquirerPollInterval is the interval at which a request checks whether the lock of
	// another process is free; 0 means 40 ms.
	AcquirerPollInterval time.Duration

	hash func(id string) uint64                 // nil: hashID; for tests
	open func(root *os.Root) (slotTable, error) // nil: openSlots; for tests

	once      sync.Once        // sets up the two local lockers
	local     locallock.Locker // orders the requests of this process
	waitQueue locallock.Locker // orders the LockWait requests, before local

	mu           sync.Mutex
	dir          *directory          // nil before the first Lock
	held         map[uint64]*lease   // by hash; leases with the same hash are linked
	requestsSeen map[int64]time.Time // when a request of another locker was first seen, by slot
	watching     bool                // watchLeases runs
	closed       bool
}

var _ tusd.Locker = (*FileLocker)(nil)

// New returns a locker for the uploads in the directory path.
func New(path string) *FileLocker { return &FileLocker{Path: path} }

// UseIn makes l the locker of composer.
func (l *FileLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }

// Scope is ScopeMachine.
func (l *FileLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

// Close makes every further Lock fail. The directory is closed when the last lease
// ends, so that no lock is lost while it is held.
func (l *FileLocker) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.closeUnused()
}

// closeUnused closes the directory if the locker is closed and has no leases. The
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
	root   *os.Root
	slots  slotTable
	closed chan struct{} // closed with the directory
}

// directory opens the upload directory when it is first needed. The caller holds
// l.mu.
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
		open = openSlots
	}
	slots, err := open(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &directory{root, slots, make(chan struct{})}, nil
}

func (d *directory) close() error {
	close(d.closed)
	return errors.Join(d.slots.close(), d.root.Close())
}

func (l *FileLocker) hashOf(id string) uint64 {
	if l.hash != nil {
		return l.hash(id) & hashMask
	}
	return hashID(id)
}

// interval returns a setting or its default.
func interval(setting time.Duration) time.Duration {
	if setting <= 0 {
		return defaultPollInterval
	}
	return setting
}
