package filelocker

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd/internal/durable"
)

// slotFileName is the file whose bytes are the slots. All but the first few bytes lie
// behind its end.
const slotFileName = ".tusd.locks"

func openSlots(root *os.Root) (slotTable, error) { return openOFDSlots(root) }

// ofdSlots is a slotTable of open-file-description locks: each slot is a byte of
// slotFileName. The locks belong to the open file and not to the process, so two
// lockers in one process exclude each other, too.
type ofdSlots struct {
	root     *os.Root
	file     *os.File
	fd       uintptr            // of file
	slots    map[int64]struct{} // taken by this locker
	joined   bool
	unlinked bool // the file was removed
	fences
}

func openOFDSlots(root *os.Root) (*ofdSlots, error) {
	file, err := durable.OpenLockFile(root, slotFileName, 0o664)
	if err != nil {
		return nil, err
	}
	return &ofdSlots{root: root, file: file, fd: file.Fd(), slots: make(map[int64]struct{})}, nil
}

func (s *ofdSlots) close() error { return s.file.Close() }

// join implements slotTable. It makes the file one byte longer, a hole, so that a
// locker that was alone notices (see fences).
func (s *ofdSlots) join() error {
	if s.joined {
		return nil
	}
	ok, err := s.set(membershipSlot, unix.F_RDLCK)
	if err != nil {
		return err
	}
	if !ok {
		return errMembership
	}
	stat, err := s.file.Stat()
	if err != nil {
		return err
	}
	if err := s.file.Truncate(stat.Size() + 1); err != nil {
		return err
	}
	s.joined = true
	return nil
}

// errMembership is transient. Lockers share membershipSlot and never exclude each
// other from it.
var errMembership = errors.New("another program has locked " + slotFileName)

func (s *ofdSlots) take(slot int64) (bool, error) {
	if _, mine := s.slots[slot]; mine {
		return true, nil
	}
	ok, err := s.set(slot, unix.F_WRLCK)
	if ok {
		s.slots[slot] = struct{}{}
	}
	return ok, err
}

func (s *ofdSlots) free(slot int64) error {
	if _, mine := s.slots[slot]; !mine {
		return nil
	}
	delete(s.slots, slot)
	_, err := s.set(slot, unix.F_UNLCK)
	return err
}

// set changes the lock on a byte and reports whether other locks allow it.
func (s *ofdSlots) set(slot int64, lockType int16) (bool, error) {
	lock := unix.Flock_t{Type: lockType, Whence: io.SeekStart, Start: slot, Len: 1}
	err := s.fcntl(unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, os.NewSyscallError("fcntl", err)
	}
	return true, nil
}

// takenByOthers requests one lock in the range from the kernel, and then in the ranges
// before and after it: the kernel returns any lock, not the first.
func (s *ofdSlots) takenByOthers(first, last int64, visit func(first, last int64)) error {
	if first > last {
		return nil
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: first, Len: last - first + 1}
	if err := s.fcntl(unix.F_OFD_GETLK, &lock); err != nil {
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
	err := s.takenByOthers(first, from-1, visit)
	if to < last { // to+1 may be too large a number
		err = errors.Join(err, s.takenByOthers(to+1, last, visit))
	}
	return err
}

func (s *ofdSlots) fcntl(command int, lock *unix.Flock_t) error {
	for {
		err := unix.FcntlFlock(s.fd, command, lock)
		if err != unix.EINTR {
			return err
		}
	}
}

// removed implements slotTable.
func (s *ofdSlots) removed() bool { return s.unlinked }
