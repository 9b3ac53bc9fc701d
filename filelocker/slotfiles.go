package filelocker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// slotDirName is the directory for the files of slotFiles.
const slotDirName = ".tusd.locks.d"

// slotFiles is the slotTable of every system but Linux: each taken slot is a locked file. It has no fencing numbers. It is built and
// tested on every system.
type slotFiles struct {
	root  *os.Root
	taken map[int64]*os.File // taken by this locker
}

func openSlotFiles(root *os.Root) (*slotFiles, error) {
	if err := root.Mkdir(slotDirName, 0o775); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &slotFiles{root: root, taken: make(map[int64]*os.File)}, nil
}

func (s *slotFiles) close() error {
	var errs []error
	for slot := range s.taken {
		errs = append(errs, s.free(slot))
	}
	return errors.Join(errs...)
}

// name returns a file name without a dot, which is valid on every system.
func (s *slotFiles) name(slot int64) string { return fmt.Sprintf("%s/%016x", slotDirName, slot) }

func (s *slotFiles) take(slot int64) (bool, error) {
	if s.taken[slot] != nil {
		return true, nil
	}
	file, err := s.lock(slot, os.O_RDWR|os.O_CREATE)
	if file != nil {
		s.taken[slot] = file
	}
	return file != nil, err
}

// lock opens and locks the file of a slot. It returns nil if another locker has locked
// it.
func (s *slotFiles) lock(slot int64, flag int) (*os.File, error) {
	for {
		file, err := s.root.OpenFile(s.name(slot), flag, 0o664)
		if err != nil {
			return nil, err
		}
		ok, err := lockWholeFile(file)
		if ok && !s.hasName(file, slot) {
			file.Close() // its last holder has removed it
			continue
		}
		if err != nil || !ok {
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	}
}

// hasName reports whether file is still the one with the name of the slot.
func (s *slotFiles) hasName(file *os.File, slot int64) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := s.root.Stat(s.name(slot))
	return err == nil && os.SameFile(mine, named)
}

func (s *slotFiles) free(slot int64) error {
	file := s.taken[slot]
	if file == nil {
		return nil
	}
	delete(s.taken, slot)
	return s.drop(file, slot)
}

// drop removes a locked file before it is unlocked, so that it cannot remove the file
// of another locker. Where open files cannot be removed, the file stays for the next
// holder.
func (s *slotFiles) drop(file *os.File, slot int64) error {
	s.root.Remove(s.name(slot))
	return file.Close()
}

// takenByOthers checks every file. They are few: a file exists only while its slot is
// taken.
func (s *slotFiles) takenByOthers(first, last int64, visit func(first, last int64)) error {
	dir, err := s.root.Open(slotDirName)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		slot, err := strconv.ParseInt(name, 16, 64)
		if err != nil || !within(slot, first, last) || s.taken[slot] != nil {
			continue
		}
		yes, err := s.takenByOther(slot)
		if yes {
			visit(slot, slot)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// takenByOther reports whether a file is locked. A killed process leaves a file that is
// not.
func (s *slotFiles) takenByOther(slot int64) (bool, error) {
	file, err := s.lock(slot, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case file == nil:
		return true, nil
	}
	return false, s.drop(file, slot)
}

// removed returns false: take checks the file of each slot.
func (s *slotFiles) removed() bool { return false }

// join and refresh do nothing: each slot is a file of its own.
func (s *slotFiles) join() error { return nil }

func (s *slotFiles) refresh() {}

func (s *slotFiles) fence(string) (n, before uint64) { return 0, 0 }
