package consullocker

import (
	"context"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// watchTime bounds one query that waits for a change. Consul adds up to a sixteenth. It
	// is short, because a network that was cut may lose the answer without an error.
	watchTime = 15 * time.Second
	// watchTimeout bounds one query that is not answered.
	watchTimeout = 20 * time.Second
	// watchRetry is the time before the next query after one that failed.
	watchRetry = time.Second
)

// watchWishes waits for changes of the wishes, with one query at a time, until s is closed.
func (s *service) watchWishes() {
	seen, index := make(map[string]*wishKey), uint64(0)
	missed := false // changes
	for s.ctx.Err() == nil {
		pairs, newIndex, err := s.queryWishes(index)
		if err != nil {
			missed, index = true, 0
			s.pause(watchRetry)
			continue
		}
		if newIndex < index { // Consul was set back to an earlier state
			clear(seen)
			missed, index = true, 0
			continue
		}
		seen, index = s.compareWishes(seen, pairs), newIndex
		if missed {
			missed = false
			s.leases.WakeAll()
		}
	}
}

// queryWishes returns the wishes as soon as their index is greater than index.
func (s *service) queryWishes(index uint64) (api.KVPairs, uint64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, watchTimeout)
	defer cancel()
	options := (&api.QueryOptions{WaitIndex: index, WaitTime: watchTime}).WithContext(ctx)
	pairs, meta, err := s.client.KV().List(s.keys.wishes(), options)
	if err != nil {
		return nil, 0, err
	}
	return pairs, meta.LastIndex, nil
}

func (s *service) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// compareWishes acts on what has changed since the wishes were seen. It returns the present
// ones, by id.
func (s *service) compareWishes(seen map[string]*wishKey, pairs api.KVPairs) map[string]*wishKey {
	p := s.current()
	present := make(map[string]*wishKey, len(pairs))
	for _, pair := range pairs {
		id := s.keys.idOfWish(pair.Key)
		if id == "" {
			continue
		}
		wish, old := parseWish(pair), seen[id]
		present[id] = wish
		if old != nil && old.index == wish.index {
			continue
		}
		if p != nil && wish.Holder.Process == p.name {
			s.leases.Preempt(id, wish.Holder.Token)
		}
		if p != nil && wish.Process == p.name {
			s.leases.ReleaseLeftover(id, wish.Token)
		}
		if wish.Free || old != nil && old.owner != wish.owner {
			s.leases.Wake(id) // does nothing if no request of this process waits for it
		}
	}
	for id := range seen {
		if present[id] == nil {
			s.leases.Wake(id)
		}
	}
	return present
}
