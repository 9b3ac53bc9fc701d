package consullocker

import (
	"encoding/json"
	"strings"

	"github.com/hashicorp/consul/api"
)

// keys makes the keys under a prefix, which ends with a slash.
type keys struct{ prefix string }

func (k keys) processes() string           { return k.prefix + "alive/" }
func (k keys) process(name string) string  { return k.processes() + name }
func (k keys) locks() string               { return k.prefix + "lock/" }
func (k keys) lock(id string) string       { return k.locks() + id }
func (k keys) wishes() string              { return k.prefix + "wish/" }
func (k keys) wish(id string) string       { return k.wishes() + id }
func (k keys) last(id string) string       { return k.prefix + "last/" + id }
func (k keys) processOf(key string) string { return strings.TrimPrefix(key, k.processes()) }

// epoch lies under the watched prefix, so that this is never empty: while nothing is there,
// Consul may answer a query that waits for a change there at any write.
func (k keys) epoch() string { return k.wishes() }

// idOfWish returns the id of a key of a wish; "": it is the key of the epoch.
func (k keys) idOfWish(key string) string { return strings.TrimPrefix(key, k.wishes()) }

// owner is a request of a process.
type owner struct {
	Process string
	Token   string
}

// lockValue is the value of the key of a lock.
type lockValue struct {
	owner
	Preempt bool   `json:",omitempty"` // the request was a LockPreempt
	Wish    uint64 `json:",omitempty"` // the number of its wish; 0: it had none
}

// wishValue is the value of the key of a wish.
type wishValue struct {
	owner
	Holder owner
	Number uint64 `json:",omitempty"` // 0: the index of the key
	Free   bool   `json:",omitempty"` // the holder has released the lock since
}

// lockKey is the key of a lock as it was read. nil: there is none.
type lockKey struct {
	lockValue
	index uint64
}

// wishKey is the key of a wish as it was read. nil: there is none.
type wishKey struct {
	wishValue
	index uint64
}

// number orders the grant among the wishes: greater is newer. 0: it overtakes none.
func (k *lockKey) number() uint64 {
	switch {
	case k == nil || !k.Preempt:
		return 0
	case k.Wish == 0:
		return k.index
	}
	return k.Wish
}

// number orders the wish among the wishes: greater is newer.
func (k *wishKey) number() uint64 {
	switch {
	case k == nil:
		return 0
	case k.Number == 0:
		return k.index
	}
	return k.Number
}

// parseLock reads a pair of get-or-empty or of a list. A value that cannot be read is the
// lock of a process that does not exist.
func parseLock(pair *api.KVPair) *lockKey {
	if pair == nil || pair.ModifyIndex == 0 {
		return nil
	}
	k := &lockKey{index: pair.ModifyIndex}
	json.Unmarshal(pair.Value, &k.lockValue)
	return k
}

// parseWish is parseLock for a wish.
func parseWish(pair *api.KVPair) *wishKey {
	if pair == nil || pair.ModifyIndex == 0 {
		return nil
	}
	k := &wishKey{index: pair.ModifyIndex}
	json.Unmarshal(pair.Value, &k.wishValue)
	return k
}

// encode returns the value of a key.
func encode(value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // the values are structs of strings and numbers
	}
	return b
}
