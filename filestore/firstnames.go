package filestore

import (
	"container/heap"
	"slices"
	"strings"
	"unsafe"
)

// firstNames collects the smallest names that follow the name after, in bounded memory, from any
// number of names in any order: at most limit names with at most maxBytes bytes
// together, but always one.
type firstNames struct {
	after    string
	limit    int
	maxBytes int // 0: no limit
	names    maxHeap
	bytes    int
	more     bool   // names were dropped
	least    string // the smallest of these
}

// offer adds a name if it is one of the smallest.
func (s *firstNames) offer(name string) {
	if name <= s.after || s.more && name >= s.least {
		return
	}
	heap.Push(&s.names, name)
	s.bytes += nameBytes(name)
	for len(s.names) > s.limit || s.maxBytes > 0 && s.bytes > s.maxBytes && len(s.names) > 1 {
		s.more, s.least = true, heap.Pop(&s.names).(string)
		s.bytes -= nameBytes(s.least)
	}
}

// nameBytes returns how much memory a name needs.
func nameBytes(name string) int { return len(name) + int(unsafe.Sizeof(name)) }

// isPast reports whether the listing is past all names that begin with prefix.
func (s *firstNames) isPast(prefix string) bool {
	return prefix < s.after && !strings.HasPrefix(s.after, prefix)
}

// sorted returns the names. last is set if no names follow them.
func (s *firstNames) sorted() (names []string, last bool) {
	slices.Sort(s.names)
	return s.names, !s.more
}

// maxHeap has the largest name at the top, which is dropped first.
type maxHeap []string

func (h maxHeap) Len() int           { return len(h) }
func (h maxHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h maxHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *maxHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *maxHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
