package s3store

import (
	"context"
	"errors"
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

// find returns the state of an upload, from memory if that still holds.
// guessed tells that only the client says so.
func (b *bucket) find(ctx context.Context, lease tusd.Lease, id string) (st state, guessed bool, err error) {
	known, ok := b.kept.get(id)
	switch {
	case ok && b.trusts(lease, &known):
		return known.state, false, nil
	case ok && b.guesses(ctx, lease, &known.state):
		return known.state, true, nil
	case ok:
		same, err := b.confirm(ctx, id, &known.state)
		if err != nil || same {
			return known.state, false, err
		}
	}
	st, err = b.load(ctx, id)
	if errors.Is(err, tusd.ErrNotFound) {
		b.kept.forget(id)
	}
	return st, false, err
}

// trusts tells whether nobody can have changed what is kept.
func (b *bucket) trusts(lease tusd.Lease, known *keptState) bool {
	if lease == nil || b.scope != tusd.ScopeLease {
		return false
	}
	_, before := lease.Fence()
	return before != 0 && before == known.n
}

// guesses tells whether a client that knows the offset says that nobody has
// changed what is kept, and the service is going to refuse what would be
// wrong if somebody has.
func (b *bucket) guesses(ctx context.Context, lease tusd.Lease, st *state) bool {
	if lease == nil || b.scope == tusd.ScopeLease || st.content.TakenOver != nil {
		return false
	}
	if b.profile.NoGaps || !b.conditions.create || !b.conditions.replace {
		return false
	}
	offset, ok := tusd.ClaimedOffset(ctx)
	return ok && offset == st.offset()
}

// confirm asks whether a state that was kept still holds. If so, it brings the
// pieces that do not count up to date.
func (b *bucket) confirm(ctx context.Context, id string, st *state) (bool, error) {
	if st.recordKey != b.recordKey(id) {
		return false, nil
	}
	found, err := b.listUpload(ctx, id)
	if err != nil || !sameETag(found.record, st.etag) {
		return false, err
	}
	if st.whole {
		return true, nil
	}
	now := *st
	now.pieces = found.pieces
	if !samePieces(now.tail(now.content.end()), st.tail(st.content.end())) {
		return false, nil
	}
	st.pieces = found.pieces // what does not count may be more, or less
	if st.content.Multipart != "" {
		return true, nil
	}
	if b.lists(st) && found.data == "" {
		return true, nil
	}
	whole, err := b.isWhole(ctx, st)
	return !whole, err
}
