// Package keyed excludes work on one key from running twice at the same time.
package keyed

import (
	"context"
	"sync"
)

// Mutex is a mutual exclusion lock for each key. The zero value is ready to
// use, with all keys unlocked. A key takes memory only while it is locked.
type Mutex struct {
	mu     sync.Mutex
	locked map[string]chan struct{} // closed by Unlock; nil: no caller waits for it
}

// Lock locks key. If key is locked, it waits until key is unlocked or ctx ends,
// and waited is true. If ctx ends, key is not locked and err is its cause.
func (m *Mutex) Lock(ctx context.Context, key string) (waited bool, err error) {
	for !m.TryLock(key) {
		waited = true
		unlocked := m.Unlocked(key)
		if unlocked == nil {
			continue
		}
		select {
		case <-unlocked:
		case <-ctx.Done():
			return true, context.Cause(ctx)
		}
	}
	return waited, nil
}

// TryLock locks key and reports whether it succeeded. It does not wait.
func (m *Mutex) TryLock(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, locked := m.locked[key]; locked {
		return false
	}
	if m.locked == nil {
		m.locked = make(map[string]chan struct{})
	}
	m.locked[key] = nil
	return true
}

// Unlock unlocks key, which is locked. Any goroutine may call it.
func (m *Mutex) Unlock(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if unlocked := m.locked[key]; unlocked != nil {
		close(unlocked)
	}
	delete(m.locked, key)
}

// Unlocked returns a channel that is closed when key is unlocked, or nil if
// key is not locked.
func (m *Mutex) Unlocked(key string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	unlocked, locked := m.locked[key]
	if locked && unlocked == nil {
		unlocked = make(chan struct{})
		m.locked[key] = unlocked
	}
	return unlocked
}

// Locked reports whether key is locked.
func (m *Mutex) Locked(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, locked := m.locked[key]
	return locked
}

// Len returns how many keys are locked.
func (m *Mutex) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.locked)
}
