package consullocker

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// conflict is the error of a transaction that Consul refused, because a condition of it
// was not met. Nothing of it has happened.
type conflict struct {
	keys map[string]bool // of the operations that failed
	text string
}

func (c *conflict) Error() string { return "Consul refused a transaction: " + c.text }

// results are those of a transaction, in the order of its operations. Operations on keys
// that do not exist, and deletions, have none.
type results []*api.KVPair

// first returns the first result of a key.
func (r results) first(key string) *api.KVPair {
	for _, pair := range r {
		if pair.Key == key {
			return pair
		}
	}
	return nil
}

// index returns the index of a key after the transaction.
func (r results) index(key string) uint64 {
	index := uint64(0)
	for _, pair := range r {
		if pair.Key == key {
			index = pair.ModifyIndex
		}
	}
	return index
}

// commit runs a transaction, and returns a *conflict if a condition of it is not met. If it
// only reads, it reads the present state, not an earlier one.
func (s *service) commit(ctx context.Context, ops []*api.KVTxnOp) (results, error) {
	request := make(api.TxnOps, len(ops))
	for i, op := range ops {
		request[i] = &api.TxnOp{KV: op}
	}
	ok, answer, _, err := s.client.Txn().Txn(request, consistent(ctx))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, refused(ops, answer.Errors)
	}
	pairs := make(results, 0, len(answer.Results))
	for _, result := range answer.Results {
		if result.KV != nil {
			pairs = append(pairs, result.KV)
		}
	}
	return pairs, nil
}

// refused returns the error of a transaction that was refused.
func refused(ops []*api.KVTxnOp, failures api.TxnErrors) error {
	c := &conflict{keys: make(map[string]bool)}
	for _, f := range failures {
		if strings.Contains(f.What, "Permission denied") { // by the access rules of Consul
			return fmt.Errorf("key %s: %s", ops[f.OpIndex].Key, f.What)
		}
		c.keys[ops[f.OpIndex].Key] = true
		c.text = f.What
	}
	return c
}

func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func write(ctx context.Context) *api.WriteOptions { return new(api.WriteOptions).WithContext(ctx) }

// The operations of transactions.

func get(key string) *api.KVTxnOp { return &api.KVTxnOp{Verb: api.KVGet, Key: key} } // it must exist

func getTree(prefix string) *api.KVTxnOp { return &api.KVTxnOp{Verb: api.KVGetTree, Key: prefix} }

func getOrEmpty(key string) *api.KVTxnOp { return &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: key} }

func set(key string, value []byte) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVSet, Key: key, Value: value}
}

// replace sets a key that has this index; 0: that does not exist.
func replace(key string, index uint64, value []byte) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVCAS, Key: key, Index: index, Value: value}
}

// lockBy sets a key that is deleted with the session.
func lockBy(session, key string, value []byte) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVLock, Key: key, Session: session, Value: value}
}

func remove(key string) *api.KVTxnOp { return &api.KVTxnOp{Verb: api.KVDelete, Key: key} }

// removeAt deletes a key that has this index, or does not exist.
func removeAt(key string, index uint64) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVDeleteCAS, Key: key, Index: index}
}

func notExists(key string) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key}
}

func hasIndex(key string, index uint64) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: index}
}
