package filelocker

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd/internal/durable"
)

// slotFile is the file whose bytes are the slots. All of them lie behind its
// end, but for the first few.
const slotFile = ".tusd.locks"

func openBoard(root *os.Root) (board, error) { return openOFDBoard(root) }

// ofdBoard is a board of open-file-description locks: each slot is a byte of
// slotFile. They belong to the description that this locker has opened, not
// to the process, so two lockers in one process exclude each other, too.
type ofdBoard struct {
	root   *os.Root
	file   *os.File
	fd     uintptr            // of file
	slots  map[int64]struct{} // taken by this locker
	joined bool
	gone   bool // the file has no name any more
	fences
}

func openOFDBoard(root *os.Root) (*ofdBoard, error) {
	file, err := durable.OpenLockFile(root, slotFile, 0o664)
	if err != nil {
		return nil, err
	}
	return &ofdBoard{root: root, file: file, fd: file.Fd(), slots: make(map[int64]struct{})}, nil
}

func (b *ofdBoard) close() error { return b.file.Close() }

// join implements board. It makes the file one byte longer, a hole, so that a
// locker that was alone notices: see fences.
func (b *ofdBoard) join() error {
	if b.joined {
		return nil
	}
	ok, err := b.set(presence, unix.F_RDLCK)
	if err != nil {
		return err
	}
	if !ok {
		return errPresence
	}
	stat, err := b.file.Stat()
	if err != nil {
		return err
	}
	if err := b.file.Truncate(stat.Size() + 1); err != nil {
		return err
	}
	b.joined = true
	return nil
}

// errPresence is transient. Lockers never lock presence against each other.
var errPresence = errors.New("another program has locked " + slotFile)

func (b *ofdBoard) take(slot int64) (bool, error) {
	if _, mine := b.slots[slot]; mine {
		return true, nil
	}
	ok, err := b.set(slot, unix.F_WRLCK)
	if ok {
		b.slots[slot] = struct{}{}
	}
	return ok, err
}

func (b *ofdBoard) free(slot int64) error {
	if _, mine := b.slots[slot]; !mine {
		return nil
	}
	delete(b.slots, slot)
	_, err := b.set(slot, unix.F_UNLCK)
	return err
}

// set changes the lock on a byte and tells whether others allowed it.
func (b *ofdBoard) set(slot int64, lockType int16) (bool, error) {
	lock := unix.Flock_t{Type: lockType, Whence: io.SeekStart, Start: slot, Len: 1}
	err := b.fcntl(unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, os.NewSyscallError("fcntl", err)
	}
	return true, nil
}

// others asks for one lock in the range and then on both sides of it: the
// kernel names any, not the first.
func (b *ofdBoard) others(first, last int64, visit func(first, last int64)) error {
	if first > last {
		return nil
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: first, Len: last - first + 1}
	if err := b.fcntl(unix.F_OFD_GETLK, &lock); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if lock.Type == unix.F_UNLCK {
		return nil
	}
	from, to := max(lock.Start, first), last
	if lock.Len > 0 { // 0 means up to the end of all files
		to = min(lock.Start+lock.Len-1, last)
	}
	visit(from, to)
	err := b.others(first, from-1, visit)
	if to < last { // to+1 may be too large a number
		err = errors.Join(err, b.others(to+1, last, visit))
	}
	return err
}

func (b *ofdBoard) fcntl(command int, lock *unix.Flock_t) error {
	for {
		err := unix.FcntlFlock(b.fd, command, lock)
		if err != unix.EINTR {
			return err
		}
	}
}

// hidden implements board.
func (b *ofdBoard) hidden() bool { return b.gone }
