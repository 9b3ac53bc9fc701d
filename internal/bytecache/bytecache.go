// Package bytecache has a cache that is bounded in bytes, not in values: clients choose the
// sizes of the values.
package bytecache

import (
	"iter"
	"sync/atomic"
	"unsafe"
)

// Cache has values by key. When they exceed the budget, the oldest are evicted. A value that
// Get has returned since it was put is evicted one round later. Pinned values are never
// evicted, but count in the budget.
//
// A Cache has no lock: its users read and put in one step, under a lock of their own.
// Get, Len, Bytes and All may run concurrently.
type Cache[K comparable, V any] struct {
	budget int64
	size   func(K, V) int
	pinned func(V) bool // nil: none is

	bytes int64
	index map[K]int32
	slots []slot[K, V] // not pointers: a value costs no allocation of its own
	free  int32        // the first free slot; they are linked by next. 0: none
}

// slot is an element of a ring from the oldest to the newest value. The ring begins and
// ends in slot 0, which has no value.
type slot[K comparable, V any] struct {
	key        K
	value      V
	size       int
	got        uint32 // 1: since it was put, or since the last round. Atomic
	prev, next int32
}

// New returns an empty cache. size returns how many bytes a key and a value use in
// memory beside the two themselves. pinned may be nil.
func New[K comparable, V any](budget int64, size func(K, V) int, pinned func(V) bool) *Cache[K, V] {
	return &Cache[K, V]{budget: budget, size: size, pinned: pinned, index: make(map[K]int32), slots: make([]slot[K, V], 1)}
}

// Get returns the value of key and marks it as used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	i := c.index[key]
	if i == 0 {
		return value, false
	}
	s := &c.slots[i]
	if atomic.LoadUint32(&s.got) == 0 {
		atomic.StoreUint32(&s.got, 1)
	}
	return s.value, true
}

// Put sets the value of key and makes it the newest one. A value that is not pinned and
// larger than an eighth of the budget is not stored; then key has no value.
func (c *Cache[K, V]) Put(key K, value V) {
	size := c.sizeOf(key, value)
	if int64(size) > c.budget/8 && !c.isPinned(value) {
		c.Delete(key)
		return
	}
	i, known := c.index[key]
	if known {
		c.unlink(i)
		c.bytes -= int64(c.slots[i].size)
	}
	c.bytes += int64(size)
	c.evict()
	if !known {
		i = c.take()
		c.index[key], c.slots[i].key = i, key
	}
	s := &c.slots[i]
	s.value, s.size, s.got = value, size, 0
	c.link(i)
}

// Delete drops the value of key.
func (c *Cache[K, V]) Delete(key K) {
	if i := c.index[key]; i != 0 {
		c.drop(i)
	}
}

// Len returns the number of values.
func (c *Cache[K, V]) Len() int { return len(c.index) }

// Bytes returns how many bytes of the budget the values take.
func (c *Cache[K, V]) Bytes() int64 { return c.bytes }

// All visits all values, the oldest first. The cache must not change meanwhile.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := c.slots[0].next; i != 0; i = c.slots[i].next {
			if !yield(c.slots[i].key, c.slots[i].value) {
				return
			}
		}
	}
}

// sizeOf returns the bytes of a value in the budget: its own bytes, a slot and an entry of
// the index. Both tables grow ahead of their content.
func (c *Cache[K, V]) sizeOf(key K, value V) int {
	table := unsafe.Sizeof(slot[K, V]{}) + unsafe.Sizeof(key) + unsafe.Sizeof(int32(0))
	return int(table+table/2) + c.size(key, value)
}

func (c *Cache[K, V]) isPinned(value V) bool { return c.pinned != nil && c.pinned(value) }

// pinnedTries is how many pinned values evict skips. If it meets no others, the cache
// stays beyond its budget until the next Put.
const pinnedTries = 16

// evict drops the oldest values until the budget holds.
func (c *Cache[K, V]) evict() {
	for tries := 0; c.bytes > c.budget && tries < pinnedTries; {
		oldest := c.slots[0].next
		if oldest == 0 {
			return // the new value is pinned, and larger than the budget
		}
		s := &c.slots[oldest]
		switch {
		case c.isPinned(s.value):
			tries++
		case s.got == 0:
			c.drop(oldest)
			continue
		}
		s.got = 0
		c.unlink(oldest)
		c.link(oldest)
	}
}

// take returns an unused slot.
func (c *Cache[K, V]) take() int32 {
	if i := c.free; i != 0 {
		c.free = c.slots[i].next
		return i
	}
	c.slots = append(c.slots, slot[K, V]{})
	return int32(len(c.slots) - 1)
}

// drop removes a slot from the ring and clears it.
func (c *Cache[K, V]) drop(i int32) {
	c.unlink(i)
	s := &c.slots[i]
	c.bytes -= int64(s.size)
	delete(c.index, s.key)
	*s = slot[K, V]{next: c.free}
	c.free = i
}

func (c *Cache[K, V]) unlink(i int32) {
	s := &c.slots[i]
	c.slots[s.prev].next, c.slots[s.next].prev = s.next, s.prev
}

// link makes a slot the newest one.
func (c *Cache[K, V]) link(i int32) {
	last := c.slots[0].prev
	c.slots[i].prev, c.slots[i].next = last, 0
	c.slots[last].next, c.slots[0].prev = i, i
}
