package consullocker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// process is this process, as long as its key exists.
type process struct {
	name       string
	key        string
	epoch      uint64 // see keys.epoch
	epochIndex uint64 // of the key of the epoch
	beats      atomic.Uint64
	index      atomic.Uint64 // the newest index of key that an answer has shown
}

// peer is a process, of this or another computer, as heartbeats have seen it.
type peer struct {
	index uint64    // of its key
	since time.Time // when this index was first seen
}

var errClosed = errors.New("the locker is closed")

// current returns this process; nil: its key does not exist yet, or not any more.
func (s *service) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// join returns this process, and makes its key if it has none.
func (s *service) join(ctx context.Context) (*process, error) {
	if p := s.current(); p != nil {
		return p, nil
	}
	if err := s.joining.lock(ctx); err != nil {
		return nil, err
	}
	defer s.joining.unlock()
	if p := s.current(); p != nil {
		return p, nil
	}
	if s.isClosed() {
		return nil, errClosed
	}
	p, err := s.newProcess(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	s.first.Do(func() {
		s.start(s.watchWishes)
		s.start(func() { s.sweep(s.ctx) }) // what a process left that died while it swept
	})
	return p, nil
}

// newProcess makes the key of this process, and the epoch if there is none.
func (s *service) newProcess(ctx context.Context) (*process, error) {
	now := strconv.FormatInt(time.Now().UnixMicro(), 10)
	first := &api.KVPair{Key: s.keys.epoch(), Value: []byte(now)} // index 0: only if there is none
	if _, _, err := s.client.KV().CAS(first, write(ctx)); err != nil {
		return nil, err
	}
	p := &process{name: processName()}
	p.key = s.keys.process(p.name)
	sent := time.Now()
	answer, err := s.commit(ctx, []*api.KVTxnOp{
		get(s.keys.epoch()), replace(p.key, 0, p.nextBeat()), getTree(s.keys.processes()),
	})
	if err != nil {
		return nil, err
	}
	epoch := answer.first(s.keys.epoch())
	if p.epoch, err = strconv.ParseUint(string(epoch.Value), 10, 64); err != nil {
		return nil, fmt.Errorf("the key %s: %w", epoch.Key, err)
	}
	p.epochIndex = epoch.ModifyIndex
	p.saw(answer.index(p.key))
	s.seePeers(p, answer, sent)
	return p, nil
}

// processName returns a name that no other process has or had.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "." + rand.Text()
}

// nextBeat returns a value that the key of the process never had. Consul does not change
// the index of a key that is set to the value that it has.
func (p *process) nextBeat() []byte { return strconv.AppendUint(nil, p.beats.Add(1), 10) }

// saw notes an index of the key of p.
func (p *process) saw(index uint64) {
	for old := p.index.Load(); index > old; old = p.index.Load() {
		if p.index.CompareAndSwap(old, index) {
			return
		}
	}
}

// beat returns the operations that every transaction begins with that makes leases of p
// valid for longer: the process exists, and shows that it lives.
func (s *service) beat(p *process) []*api.KVTxnOp {
	return []*api.KVTxnOp{hasIndex(s.keys.epoch(), p.epochIndex), get(p.key), set(p.key, p.nextBeat())}
}

// errGone means that the key of this process does not exist any more: its leases are lost.
var errGone = errors.New("the key of this process is gone from Consul")

// commitAlive runs ops in a transaction that makes leases of p valid for longer. If p is
// gone, it returns errGone, and the next join makes a new process.
func (s *service) commitAlive(ctx context.Context, p *process, ops ...*api.KVTxnOp) (results, error) {
	known := p.index.Load()
	answer, err := s.commit(ctx, append(s.beat(p), ops...))
	var c *conflict
	if errors.As(err, &c) && (c.keys[p.key] || c.keys[s.keys.epoch()]) {
		s.leave(p)
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if answer.first(p.key).ModifyIndex < known { // Consul was set back to an earlier state
		s.leave(p)
		return nil, errGone
	}
	p.saw(answer.index(p.key))
	return answer, nil
}

// leave ends p. Its key may still exist: it is removed as that of a process that has died.
func (s *service) leave(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == p {
		s.process = nil
		delete(s.peers, p.name)
	}
}

// heartbeat makes the leases of p valid for longer, and reads the heartbeats of all others.
func (s *service) heartbeat(ctx context.Context, p *process) error {
	sent := time.Now()
	answer, err := s.commitAlive(ctx, p, getTree(s.keys.processes()))
	if err != nil {
		return err
	}
	s.seePeers(p, answer, sent)
	return nil
}

// seePeers notes the heartbeats of an answer to a request that was sent at sent, and begins
// to remove the processes that have died.
func (s *service) seePeers(p *process, answer results, sent time.Time) {
	now := time.Now()
	peers := make(map[string]peer)
	for _, pair := range answer {
		if name := s.keys.processOf(pair.Key); name != pair.Key {
			peers[name] = peer{pair.ModifyIndex, now}
		}
	}
	dead, vanished := s.comparePeers(peers, p, sent)
	if vanished {
		s.leases.WakeAll() // locks may be free
	}
	if len(dead) > 0 {
		s.start(func() { s.bury(dead) })
	}
}

// comparePeers replaces the peers that were known. dead are those whose last heartbeat was
// seen too long ago, and vanished reports whether one does not exist any more.
func (s *service) comparePeers(peers map[string]peer, p *process, sent time.Time) (dead map[string]uint64, vanished bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dead = make(map[string]uint64)
	for name, old := range s.peers {
		seen, ok := peers[name]
		vanished = vanished || !ok
		if !ok || seen.index != old.index {
			continue
		}
		peers[name] = old
		if sent.Sub(old.since) >= s.ttl && name != p.name {
			dead[name] = old.index
		}
	}
	s.peers = peers
	return dead, vanished
}

// mayBeDead reports whether no heartbeat of the process was seen: it has died, or is new.
func (s *service) mayBeDead(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.peers[name]
	return !known
}

// lives notes that a process exists that no heartbeat was seen of.
func (s *service) lives(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.peers[name]; !known {
		s.peers[name] = peer{since: time.Now()}
	}
}
