package filelocker

import (
	"crypto/sha256"
	"encoding/binary"
)

// slotTable has the slots by which the lockers of a directory see each other. At most one
// locker has taken a slot. When a process ends, its slots are free. The caller serialises
// all calls.
type slotTable interface {
	// take takes a slot and reports whether that succeeded. A slot that this locker
	// has already taken succeeds.
	take(slot int64) (bool, error)
	// free frees a slot.
	free(slot int64) error
	// takenByOthers calls visit with the ranges of slots from first to last that
	// other lockers have taken, in any order.
	takenByOthers(first, last int64, visit func(first, last int64)) error
	// fence returns the fencing numbers of the grant of id that has just begun (see
	// tusd.Lease).
	fence(id string) (n, before uint64)
	// join makes this locker visible to the others. It is called before each grant, and
	// does nothing after the first time.
	join() error
	// refresh is called at intervals while a lock is held, and once afterwards. It
	// checks the file that the slots are in.
	refresh()
	// removed reports whether the file with the slots was removed: lockers that open
	// the directory later do not see the slots of this one. The answer is as of the
	// last fence or refresh.
	removed() bool
	// close frees the slots of this locker.
	close() error
}

// A slot is a number of 63 bits: its kind, and the hash of the id. Ids with the same
// hash share their slots.
const (
	hashBits = 61
	hashMask = 1<<hashBits - 1
)

// slotKind is the use of a slot. Slots of kind 0 are reserved: number 0 is
// filestore's, for the directory as a whole, 1 is membershipSlot, and from 1<<60 on are
// filestore's owners of temporary files.
type slotKind int64

const (
	_                slotKind = iota
	heldSlot                  // taken by the holder of the lock
	requestSlot               // taken by the newest request for preemption
	newerRequestSlot          // taken by a newer request, before it takes requestSlot
)

// membershipSlot is shared by all lockers that have joined, until they end.
const membershipSlot = 1

func (k slotKind) slot(hash uint64) int64 { return int64(k)<<hashBits | int64(hash) }

// first and last bound the slots of a kind.
func (k slotKind) first() int64 { return k.slot(0) }
func (k slotKind) last() int64  { return k.slot(hashMask) }

// hashOfSlot is the inverse of slotKind.slot.
func hashOfSlot(slot int64) uint64 { return uint64(slot) & hashMask }

// hashID maps ids to slots. All versions of this package must use the same hash: old
// and new processes share a directory during an update. It is cryptographic, so that
// clients cannot choose ids that block each other.
func hashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - hashBits)
}
