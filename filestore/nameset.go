package filestore

import (
	"hash/maphash"
	"strings"
)

// nameSet is a set of names in bounded memory. It has every name that was added, and may seem
// to have a few others: one in a thousand while it has a million names. Upper and lower
// case are the same, as on some file systems.
type nameSet struct {
	seed maphash.Seed
	bits []uint64 // nil: empty
}

const (
	nameSetBits   = 1 << 25 // 4 MiB
	nameSetProbes = 4       // bits per name
)

func newNameSet() *nameSet { return &nameSet{seed: maphash.MakeSeed()} }

func (s *nameSet) add(name string) {
	if s.bits == nil {
		s.bits = make([]uint64, nameSetBits/64)
	}
	for _, bit := range s.probes(name) {
		s.bits[bit/64] |= 1 << (bit % 64)
	}
}

func (s *nameSet) has(name string) bool {
	if s.bits == nil {
		return false
	}
	for _, bit := range s.probes(name) {
		if s.bits[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// probes returns the bits of a name.
func (s *nameSet) probes(name string) (bits [nameSetProbes]uint64) {
	hash := maphash.String(s.seed, strings.ToLower(name))
	step := hash>>32 | 1
	for i := range bits {
		bits[i] = hash % nameSetBits
		hash += step
	}
	return bits
}
