package filelocker

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A locker that is alone on a directory, and busy, locks presence for writing.
// While it has that, nobody else can take anything, so what it takes itself
// costs no call. Who comes then locks knock and waits until the other one has
// locked the bytes of what it holds and shares presence. All others share it
// from the beginning to their end, and each slot that they take is a lock.

// join makes this locker known to the others.
func (b *ofdBoard) join() error {
	ok, err := b.set(presence, unix.F_RDLCK)
	if err != nil {
		return err
	}
	if !ok {
		_, err := b.set(knock, unix.F_RDLCK)
		return errors.Join(errAlone, err)
	}
	stat, err := b.file.Stat()
	if err != nil {
		return err
	}
	if err := b.file.Truncate(stat.Size() + 1); err != nil {
		return err
	}
	b.joined = true
	_, err = b.set(knock, unix.F_UNLCK)
	return err
}

// claim implements board. What it cannot have it does without.
func (b *ofdBoard) claim() error {
	if b.alone {
		return nil
	}
	if !b.joined {
		if err := b.join(); err != nil {
			return err
		}
	}
	ok, err := b.set(presence, unix.F_WRLCK)
	if !ok || err != nil {
		b.known = nil
		b.look()
		return nil
	}
	b.alone = true
	b.begin()
	b.attend(true) // somebody may wait who was refused before
	return nil
}

// attend implements board. Who cannot share presence stays alone until the
// next time.
func (b *ofdBoard) attend(held bool) (again bool) {
	b.look()
	if !b.alone {
		return false
	}
	if held {
		if waiting, err := taken(b, knock); err != nil || !waiting {
			return true
		}
	}
	return b.share() != nil
}

// share ends being alone: what was taken is locked, and then others may come.
func (b *ofdBoard) share() error {
	for slot, locked := range b.slots {
		if locked {
			continue
		}
		if ok, err := b.set(slot, unix.F_WRLCK); err != nil || !ok {
			return fmt.Errorf("lock %#x while nobody else can have it: %t, %w", slot, ok, err)
		}
		b.slots[slot] = true
	}
	if ok, err := b.set(presence, unix.F_RDLCK); err != nil || !ok {
		return fmt.Errorf("share %s: %t, %w", slotFile, ok, err)
	}
	b.alone = false
	return nil
}
