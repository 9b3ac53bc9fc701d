package filelocker

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
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
	// claim is called before each grant, by who will call attend until that
	// says that it is not needed. The locker may take the whole directory for
	// itself, if nobody else is there: then its slots cost nothing. The error
	// is errAlone if another locker has done so, who will make room soon.
	claim() error
	// attend is called at intervals. It lets others in who wait for that, or
	// anybody who comes later if nothing is held. It tells whether it has to
	// be called again.
	attend(held bool) (again bool)
	// hidden tells whether those who open the directory from now on do not see
	// what this locker takes: somebody has removed the file that it is in. It
	// is as new as the last claim or attend.
	hidden() bool
	// close frees what this locker has taken.
	close() error
}

// errAlone: another locker has to learn first that it is not alone any more.
var errAlone = errors.New("the process that uses the directory does not answer")

// A slot is a number of 63 bits: what it is for, and the hash of the id. Ids
// with the same hash have their slots in common.
const (
	hashBits = 61
	hashMask = 1<<hashBits - 1
)

// kind says what a slot is for. Slots of kind 0 are reserved: number 0 is
// filestore's, for the directory as a whole, 1 and 2 are for who is there.
type kind int64

const (
	_    kind = iota
	hold      // taken by who holds the lock
	ask       // taken by the newest request that asks the holder for it
	push      // taken by a newer request on its way to ask
)

const (
	presence = 1 // shared by all lockers of a directory, or taken by the only one
	knock    = 2 // shared by those who wait for the only one to share presence
)

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
