package consullocker

import (
	"context"

	"github.com/hashicorp/consul/api"
)

// state is what Consul has of an id.
type state struct {
	lock *lockKey
	wish *wishKey
	last uint64 // the index of the last grant; 0: unknown
}

func (s *service) read(ctx context.Context, id string) (state, error) {
	lock, wish, last := s.keys.lock(id), s.keys.wish(id), s.keys.last(id)
	answer, err := s.commit(ctx, []*api.KVTxnOp{getOrEmpty(lock), getOrEmpty(wish), getOrEmpty(last)})
	if err != nil {
		return state{}, err
	}
	return state{parseLock(answer.first(lock)), parseWish(answer.first(wish)), answer.index(last)}, nil
}

func (k *lockKey) belongsTo(token string) bool { return k != nil && k.Token == token }
func (k *wishKey) belongsTo(token string) bool { return k != nil && k.Token == token }

// newest returns the number of the newest LockPreempt besides the one of token. If the wish
// of token is gone, a newer one has removed it, and was granted.
func (st state) newest(token string) uint64 {
	newest := st.lock.number()
	if !st.wish.belongsTo(token) {
		newest = max(newest, st.wish.number(), st.last)
	}
	return newest
}

// processes returns the names of the processes of lock and wish.
func (st state) processes() (names []string) {
	if st.lock != nil {
		names = append(names, st.lock.Process)
	}
	if st.wish != nil {
		names = append(names, st.wish.Process)
	}
	return names
}
