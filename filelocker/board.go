package filelocker

import (
	"crypto/sha256"
	"encoding/binary"
)

// board is what the lockers of a directory see of each other: slots, each of
// which one of them at most has taken. What a process has taken is free when
// the process ends, however that happens. The caller serialises all calls.
type board interface {
	// take takes a slot and tells whether that succeeded. Taking what this
	// locker has already succeeds.
	take(slot int64) (bool, error)
	// free gives a slot back.
	free(slot int64) error
	// others visits the ranges of slots from first to last that other lockers
	// have taken, in any order.
	others(first, last int64, visit func(first, last int64)) error
	// fence numbers the grant of id that has just begun, as tusd.Lease says.
	fence(id string) (n, before uint64)
	// join makes this locker known to the others. It is called before each
	// grant, and does something the first time only.
	join() error
	// look is called at intervals while a lock is held, and once behind that. It
	// notices what has become of the file that the slots are in.
	look()
	// hidden reports whether lockers that open the directory from now on do not
	// see what this locker takes, because the file with the slots was removed. It
	// is as new as the last fence or look.
	hidden() bool
	// close frees what this locker has taken.
	close() error
}

// A slot is a number of 63 bits: what it is for, and the hash of the id. Ids
// with the same hash have their slots in common.
const (
	hashBits = 61
	hashMask = 1<<hashBits - 1
)

// kind says what a slot is for. Slots of kind 0 are reserved: number 0 is
// filestore's, for the directory as a whole, 1 is presence.
type kind int64

const (
	_    kind = iota
	hold      // taken by who holds the lock
	ask       // taken by the newest request that asks the holder for it
	push      // taken by a newer request on its way to ask
)

// presence is shared by all lockers that have joined, from then to their end.
const presence = 1

func (k kind) slot(hash uint64) int64 { return int64(k)<<hashBits | int64(hash) }

// first and last bound the slots of a kind.
func (k kind) first() int64 { return k.slot(0) }
func (k kind) last() int64  { return k.slot(hashMask) }

// hashOfSlot is the inverse of kind.slot.
func hashOfSlot(slot int64) uint64 { return uint64(slot) & hashMask }

// hashID spreads the ids over the slots. All versions of this package have to
// agree on it: old and new processes share a directory during an update. A
// cryptographic hash, so that nobody can choose ids that block each other.
func hashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - hashBits)
}
