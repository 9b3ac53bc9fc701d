package s3store

import (
	"sync"
	"unsafe"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
)

// keptBytes bounds the memory for states that are kept between requests: some
// 5 000 usual ones, or twenty of uploads with 10 000 parts. An eviction costs a
// call or two with the next request.
const keptBytes = 16 << 20

// keptState is what was known of an upload under the grant n.
type keptState struct {
	state state
	n     uint64
}

// keptStates are what is known of uploads between requests.
type keptStates struct {
	mu  sync.Mutex
	ids *bytecache.Cache[string, keptState]
}

func newKeptStates(budget int64) keptStates {
	return keptStates{ids: bytecache.New(budget, func(id string, known keptState) int {
		return len(id) + known.state.memorySize()
	}, nil)}
}

func (k *keptStates) get(id string) (keptState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids.Get(id)
}

// set keeps what the holder of lease knows.
func (k *keptStates) set(id string, lease tusd.Lease, st state) {
	n, _ := lease.Fence()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids.Put(id, keptState{st, n})
}

func (k *keptStates) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids.Delete(id)
}

// memorySize estimates how many bytes of memory s leads to.
func (s *state) memorySize() int {
	n := s.info.MemorySize() + len(s.recordKey) + len(s.etag)
	n += len(s.content.Proof) + len(s.content.Multipart) + len(s.content.ETag)
	n += cap(s.content.Parts) * int(unsafe.Sizeof(Part{}))
	for _, p := range s.content.Parts {
		n += allocated(p.ETag)
	}
	n += cap(s.pieces) * int(unsafe.Sizeof(piece{}))
	for _, p := range s.pieces {
		n += allocated(p.key) + allocated(p.etag)
	}
	if s.content.TakenOver != nil {
		n += int(unsafe.Sizeof(*s.content.TakenOver))
	}
	return n
}

// allocated is what a text takes in memory: allocations are rounded up.
func allocated(s string) int { return len(s) + len(s)/8 + 8 }
