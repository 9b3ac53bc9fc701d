package filestore

import (
	"container/heap"
	"slices"
	"strings"
	"unsafe"
)

// firstNames collects the first names that follow after, in bounded memory, however
// many are offered and in whatever order: at most limit, and no more than one that
// have more than room bytes together.
type firstNames struct {
	after    string
	limit    int
	maxBytes int // 0: any
	names    maxHeap
	bytes    int
	more     bool   // names were left out
	least    string // the first of these
}

// offer considers a name.
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

// nameBytes is what a name takes in memory.
func nameBytes(name string) int { return len(name) + int(unsafe.Sizeof(name)) }

// isBehind tells whether no name that begins with prefix can be taken.
func (s *firstNames) isBehind(prefix string) bool {
	return prefix < s.after && !strings.HasPrefix(s.after, prefix)
}

// sorted returns the names; last tells that nothing follows them.
func (s *firstNames) sorted() (names []string, last bool) {
	slices.Sort(s.names)
	return s.names, !s.more
}

// maxHeap has the largest name first, the one to be thrown out.
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
