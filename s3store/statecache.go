package s3store

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
)

// cacheBudget bounds the memory for states between requests, in bytes: about
// 5,000 common ones, or twenty of uploads with 10,000 parts. An eviction costs
// one or two calls at the next request.
const cacheBudget = 16 << 20

// cachedState is the state of an upload as of a grant of its lock.
type cachedState struct {
	state state
	fence uint64
}

// stateCache has the states of uploads between requests.
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

// set stores the state as the holder of lease knows it.
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

// memorySize estimates how many bytes of memory s refers to.
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

// allocated estimates the memory of a string: allocations are rounded up.
func allocated(s string) int { return len(s) + len(s)/8 + 8 }

// findState returns the state of an upload, from the cache if it is not stale. claimed means
// that only the client says so, see isClaimed.
func (b *bucket) findState(ctx context.Context, lease tusd.Lease, id string) (st state, claimed bool, err error) {
	st, claimed, err = b.findListed(ctx, lease, id)
	if err == nil && lease != nil && tusd.LoadedOnce(ctx) {
		err = b.findUnlisted(ctx, &st)
	}
	return st, claimed, err
}

// findListed is findState as far as listings tell.
func (b *bucket) findListed(ctx context.Context, lease tusd.Lease, id string) (st state, claimed bool, err error) {
	cached, ok := b.cache.get(id)
	switch {
	case ok && b.isFresh(lease, &cached):
		return cached.state, false, nil
	case ok && b.isClaimed(ctx, lease, &cached.state):
		return cached.state, true, nil
	case ok:
		same, err := b.revalidate(ctx, id, &cached.state)
		if err != nil || same {
			return cached.state, false, err
		}
	}
	st, err = b.load(ctx, id)
	if errors.Is(err, tusd.ErrNotFound) {
		b.cache.invalidate(id)
	}
	return st, false, err
}

// isFresh reports whether no other process can have changed the upload since
// the state was cached: the lock was not granted in between.
func (b *bucket) isFresh(lease tusd.Lease, cached *cachedState) bool {
	if lease == nil || b.scope != tusd.ScopeLease {
		return false
	}
	_, before := lease.Fence()
	return before != 0 && before == cached.fence
}

// maxClaimed is how long after its last change a state can be used without asking the
// service: a client that sends chunk after chunk comes earlier. A request without bytes on
// another server may since have renewed the expiration. So a time of expiration (ExpireAfter)
// that is shorter than this may be taken for over.
const maxClaimed = time.Minute

// isClaimed reports whether a cached state can be used without asking the service, if the
// lock does not exclude other processes: a client claims that its offset was acknowledged. If
// the state is stale nevertheless, the service refuses the record, and no part replaces one
// that another process has recorded: that process has skipped numbers. Where they are scarce,
// a request confirms the state before its first part.
func (b *bucket) isClaimed(ctx context.Context, lease tusd.Lease, st *state) bool {
	if lease == nil || b.scope == tusd.ScopeLease || st.layout.TakenOver != nil {
		return false
	}
	if time.Since(st.info.Changed) > maxClaimed || b.profile.NoGaps || !b.conditions.create || !b.conditions.replace {
		return false
	}
	if len(st.orphans()) > 0 {
		return false // they are removed, and may be none by now
	}
	offset, ok := tusd.ClaimedOffset(ctx)
	return ok && offset == st.offset()
}

// confirm returns an error if a state that a client has claimed is stale.
func (u *upload) confirm(ctx context.Context, st state) error {
	same, err := u.b.revalidate(ctx, u.id, &st)
	if err != nil || same {
		return err
	}
	u.invalidate()
	return u.b.concurrentChange(u.id, errors.New("the cached state is stale"))
}

// revalidate asks the service whether a cached state is still current. If so, it updates the
// orphans in it. Other processes may have loaded the state, and may be storing parts.
func (b *bucket) revalidate(ctx context.Context, id string, st *state) (bool, error) {
	if st.recordKey != b.recordKey(id) {
		return false, nil
	}
	found, err := b.listUpload(ctx, id)
	if err != nil || !sameETag(found.record, st.etag) {
		return false, err
	}
	if st.noteChange(found.changed); st.layout.TakenOver == nil && (st.isDataBesideRecord() || st.layout.ETag != "") {
		st.info.Changed = found.changed // the listing has all objects, or the newest
	}
	st.ours, st.maxLateNumber = false, st.layout.maxLateNumber()
	if st.hasObject {
		return true, nil
	}
	now := *st
	now.tailObjects = found.tailObjects
	if !sameTailObjects(now.tail(now.layout.end()), st.tail(st.layout.end())) {
		return false, nil
	}
	st.tailObjects = found.tailObjects // the orphans may differ
	if st.layout.Multipart != "" {
		return true, nil
	}
	if b.listsData(st) && found.data == "" {
		return true, nil
	}
	whole, err := b.hasWholeObject(ctx, st, b.listsData(st))
	return !whole, err
}
