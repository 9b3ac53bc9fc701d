package s3store

import (
	"sync"

	"github.com/tus/tusd"
)

// maxKept bounds the number of states that are kept between requests.
const maxKept = 4096

// keptState is what was known of an upload under the grant n.
type keptState struct {
	state state
	n     uint64
}

// keptStates are what is known of uploads between requests. The zero value is
// ready to use.
type keptStates struct {
	mu  sync.Mutex
	ids map[string]keptState
}

func (k *keptStates) get(id string) (keptState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.ids[id]
	return known, ok
}

// set keeps what the holder of lease knows.
func (k *keptStates) set(id string, lease tusd.Lease, st state) {
	n, _ := lease.Fence()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids == nil {
		k.ids = make(map[string]keptState)
	}
	if _, known := k.ids[id]; !known && len(k.ids) >= maxKept {
		for other := range k.ids { // any one: the map's order is as good as another
			delete(k.ids, other)
			break
		}
	}
	k.ids[id] = keptState{st, n}
}

func (k *keptStates) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.ids, id)
}
