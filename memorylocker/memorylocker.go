// Package memorylocker locks uploads within one process.
package memorylocker

import "github.com/tus/tusd"

// MemoryLocker keeps the locks of one process in memory: nothing outlives the
// process, and other processes do not see them. It is what a composer without
// a locker gets, and safe for concurrent use.
type MemoryLocker struct {
	tusd.LocalLocker
}

var _ tusd.Locker = (*MemoryLocker)(nil)

// New returns a locker without locks.
func New() *MemoryLocker { return &MemoryLocker{} }

// UseIn makes l the locker of composer.
func (l *MemoryLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }
