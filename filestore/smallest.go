package filestore

import (
	"container/heap"
	"slices"
	"strings"
)

// smallest collects the first limit names that follow after, in bounded
// memory, however many are offered and in whatever order.
type smallest struct {
	after string
	limit int
	names maxHeap
	more  bool // there were more than limit
}

// offer considers a name.
func (s *smallest) offer(name string) {
	switch {
	case name <= s.after:
	case len(s.names) < s.limit:
		heap.Push(&s.names, name)
	case s.limit == 0 || name > s.names[0]:
		s.more = true
	default:
		s.more = true
		s.names[0] = name
		heap.Fix(&s.names, 0)
	}
}

// isBehind tells whether no name that begins with prefix can be taken.
func (s *smallest) isBehind(prefix string) bool {
	return prefix < s.after && !strings.HasPrefix(s.after, prefix)
}

// sorted returns the names; last tells that nothing follows them.
func (s *smallest) sorted() (names []string, last bool) {
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
