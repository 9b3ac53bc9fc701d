// Package memorylocker locks uploads within one process.
package memorylocker

import "github.com/tus/tusd"

// MemoryLocker keeps the locks of one process in memory. Other processes do not see them,
// and they end with the process. A composer without a locker gets the same locks. It is
// safe for concurrent use.
type MemoryLocker struct {
	tusd.LocalLocker
}

var _ tusd.Locker = (*MemoryLocker)(nil)

// New returns a locker without locks.
func New() *MemoryLocker { return &MemoryLocker{} }

// UseIn makes l the locker of composer.
func (l *MemoryLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }
