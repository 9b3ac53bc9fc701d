package s3store

import (
	"context"
	"errors"
	"sync"
	"unsafe"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
)

// cacheBudget bounds the memory for states that are kept between requests: some
// 5 000 usual ones, or twenty of uploads with 10 000 parts. An eviction costs a
// call or two with the next request.
const cacheBudget = 16 << 20

// cachedState is what was known of an upload under the grant n.
type cachedState struct {
	state state
	fence uint64
}

// stateCache are what is known of uploads between requests.
type stateCache struct {
	mu  sync.Mutex
	ids *bytecache.Cache[string, cachedState]
}

func newStateCache(budget int64) stateCache {
	return stateCache{ids: bytecache.New(budget, func(id string, known cachedState) int {
		return len(id) + known.state.memorySize()
	}, nil)}
}

func (k *stateCache) get(id string) (cachedState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids.Get(id)
}

// set keeps what the holder of lease knows.
func (k *stateCache) set(id string, lease tusd.Lease, st state) {
	n, _ := lease.Fence()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids.Put(id, cachedState{st, n})
}

func (k *stateCache) invalidate(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids.Delete(id)
}

// memorySize estimates how many bytes of memory s leads to.
func (s *state) memorySize() int {
	n := s.info.MemorySize() + len(s.recordKey) + len(s.etag)
	n += len(s.layout.Proof) + len(s.layout.Multipart) + len(s.layout.ETag)
	n += cap(s.layout.Parts) * int(unsafe.Sizeof(Part{}))
	for _, p := range s.layout.Parts {
		n += allocated(p.ETag)
	}
	n += cap(s.tailObjects) * int(unsafe.Sizeof(tailObject{}))
	for _, p := range s.tailObjects {
		n += allocated(p.key) + allocated(p.etag)
	}
	if s.layout.TakenOver != nil {
		n += int(unsafe.Sizeof(*s.layout.TakenOver))
	}
	return n
}

// allocated is what a text takes in memory: allocations are rounded up.
func allocated(s string) int { return len(s) + len(s)/8 + 8 }

// findState returns the state of an upload, from memory if that still holds.
// guessed tells that only the client says so.
func (b *bucket) findState(ctx context.Context, lease tusd.Lease, id string) (st state, guessed bool, err error) {
	known, ok := b.cache.get(id)
	switch {
	case ok && b.isFresh(lease, &known):
		return known.state, false, nil
	case ok && b.mayUseUnvalidated(ctx, lease, &known.state):
		return known.state, true, nil
	case ok:
		same, err := b.revalidate(ctx, id, &known.state)
		if err != nil || same {
			return known.state, false, err
		}
	}
	st, err = b.load(ctx, id)
	if errors.Is(err, tusd.ErrNotFound) {
		b.cache.invalidate(id)
	}
	return st, false, err
}

// isFresh tells whether nobody can have changed what is kept.
func (b *bucket) isFresh(lease tusd.Lease, known *cachedState) bool {
	if lease == nil || b.scope != tusd.ScopeLease {
		return false
	}
	_, before := lease.Fence()
	return before != 0 && before == known.fence
}

// mayUseUnvalidated tells whether a client that knows the offset says that nobody has
// changed what is kept, and the service is going to refuse what would be
// wrong if somebody has.
func (b *bucket) mayUseUnvalidated(ctx context.Context, lease tusd.Lease, st *state) bool {
	if lease == nil || b.scope == tusd.ScopeLease || st.layout.TakenOver != nil {
		return false
	}
	if b.profile.NoGaps || !b.conditions.create || !b.conditions.replace {
		return false
	}
	offset, ok := tusd.ClaimedOffset(ctx)
	return ok && offset == st.offset()
}

// revalidate asks whether a state that was kept still holds. If so, it brings the
// pieces that do not count up to date.
func (b *bucket) revalidate(ctx context.Context, id string, st *state) (bool, error) {
	if st.recordKey != b.recordKey(id) {
		return false, nil
	}
	found, err := b.listUpload(ctx, id)
	if err != nil || !sameETag(found.record, st.etag) {
		return false, err
	}
	if st.hasObject {
		return true, nil
	}
	now := *st
	now.tailObjects = found.tailObjects
	if !sameTailObjects(now.tail(now.layout.end()), st.tail(st.layout.end())) {
		return false, nil
	}
	st.tailObjects = found.tailObjects // what does not count may be more, or less
	if st.layout.Multipart != "" {
		return true, nil
	}
	if b.listsData(st) && found.data == "" {
		return true, nil
	}
	whole, err := b.hasWholeObject(ctx, st)
	return !whole, err
}
