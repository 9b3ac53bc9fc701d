package filelocker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// slotDir has the files of a fileBoard.
const slotDir = ".tusd.locks.d"

// fileBoard is the board for systems whose locks cannot be bound to a byte and
// an open file both: each slot that is taken is a locked file. It has no
// fences. It is built on every system to be tested on every system.
type fileBoard struct {
	root *os.Root
	own  map[int64]*os.File // taken by this locker
}

func openFileBoard(root *os.Root) (*fileBoard, error) {
	if err := root.Mkdir(slotDir, 0o775); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &fileBoard{root: root, own: make(map[int64]*os.File)}, nil
}

func (b *fileBoard) close() error {
	var errs []error
	for slot := range b.own {
		errs = append(errs, b.free(slot))
	}
	return errors.Join(errs...)
}

// name is without a dot, so that it stays one name on every system.
func (b *fileBoard) name(slot int64) string { return fmt.Sprintf("%s/%016x", slotDir, slot) }

func (b *fileBoard) take(slot int64) (bool, error) {
	if b.own[slot] != nil {
		return true, nil
	}
	file, err := b.lock(slot, os.O_RDWR|os.O_CREATE)
	if file != nil {
		b.own[slot] = file
	}
	return file != nil, err
}

// lock opens and locks the file of a slot. It returns nil if somebody else has
// locked it.
func (b *fileBoard) lock(slot int64, flag int) (*os.File, error) {
	for {
		file, err := b.root.OpenFile(b.name(slot), flag, 0o664)
		if err != nil {
			return nil, err
		}
		ok, err := lockFile(file)
		if ok && !b.hasName(file, slot) {
			file.Close() // whoever had it has removed it meanwhile
			continue
		}
		if err != nil || !ok {
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	}
}

// hasName tells whether others who look for the slot find this file.
func (b *fileBoard) hasName(file *os.File, slot int64) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := b.root.Stat(b.name(slot))
	return err == nil && os.SameFile(mine, named)
}

func (b *fileBoard) free(slot int64) error {
	file := b.own[slot]
	if file == nil {
		return nil
	}
	delete(b.own, slot)
	return b.drop(file, slot)
}

// drop removes a locked file before it is unlocked, so that nobody else's is
// removed. Where open files cannot be removed it stays for the next holder.
func (b *fileBoard) drop(file *os.File, slot int64) error {
	b.root.Remove(b.name(slot))
	return file.Close()
}

// others looks at every file: few, since they exist only while they are taken.
func (b *fileBoard) others(first, last int64, visit func(first, last int64)) error {
	dir, err := b.root.Open(slotDir)
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
		if err != nil || !within(slot, first, last) || b.own[slot] != nil {
			continue
		}
		yes, err := b.takenByOther(slot)
		if yes {
			visit(slot, slot)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// takenByOther tells whether a file is locked. One that is not was left by a
// process that was killed.
func (b *fileBoard) takenByOther(slot int64) (bool, error) {
	file, err := b.lock(slot, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case file == nil:
		return true, nil
	}
	return false, b.drop(file, slot)
}

// hidden does not notice what fileBoard finds out for each slot that it takes.
func (b *fileBoard) hidden() bool { return false }

// join and look do nothing: each slot is a file, whichever lockers there are.
func (b *fileBoard) join() error { return nil }

func (b *fileBoard) look() {}

func (b *fileBoard) fence(string) (n, before uint64) { return 0, 0 }
