package consullocker

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/consul/api"
)

// bury removes the keys of processes that have died, which had these indices. Then their
// locks are free, and it removes what they had.
func (s *service) bury(dead map[string]uint64) {
	buried := false
	for name, index := range dead {
		pair := &api.KVPair{Key: s.keys.process(name), ModifyIndex: index}
		ok, _, err := s.client.KV().DeleteCAS(pair, write(s.ctx))
		if err != nil {
			return // the next heartbeat finds it again
		}
		if ok {
			buried = true
			s.log.Info("a process has given no sign of life: its locks are free", "process", name)
		}
	}
	if buried {
		s.sweep(s.ctx) // what is left after an error, the start of another process sweeps
	}
}

// sweep removes the locks and wishes of processes that do not exist. Requests need not wait
// for it: they take such a lock themselves.
func (s *service) sweep(ctx context.Context) error {
	kv, options := s.client.KV(), consistent(ctx)
	locks, _, err := kv.List(s.keys.locks(), options)
	if err != nil {
		return err
	}
	wishes, _, err := kv.List(s.keys.wishes(), options)
	if err != nil {
		return err
	}
	// read last: the key of a process is there before its locks
	processes, _, err := kv.Keys(s.keys.processes(), "", options)
	if err != nil {
		return err
	}
	exists := make(map[string]bool)
	for _, key := range processes {
		exists[s.keys.processOf(key)] = true
	}
	var left []*api.KVTxnOp
	for _, pair := range locks {
		if !exists[parseLock(pair).Process] {
			left = append(left, removeAt(pair.Key, pair.ModifyIndex))
		}
	}
	for _, pair := range wishes {
		if pair.Key != s.keys.epoch() && !exists[parseWish(pair).Process] {
			left = append(left, removeAt(pair.Key, pair.ModifyIndex))
		}
	}
	if err := s.removeAll(ctx, left); err != nil {
		return err
	}
	s.leases.WakeAll()
	return nil
}

// maxOperations is how many operations Consul takes in a transaction.
const maxOperations = 64

// removeAll runs many removals. Those that have a conflict are not needed any more.
func (s *service) removeAll(ctx context.Context, ops []*api.KVTxnOp) error {
	for some := range slices.Chunk(ops, maxOperations) {
		_, err := s.commit(ctx, some)
		var c *conflict
		if !errors.As(err, &c) {
			if err != nil {
				return err
			}
			continue
		}
		if half := len(some) / 2; half > 0 {
			err = errors.Join(s.removeAll(ctx, some[:half]), s.removeAll(ctx, some[half:]))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
