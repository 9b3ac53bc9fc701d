package consullocker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// service is the lease.Service on Consul.
type service struct {
	client *api.Client
	keys   keys
	ttl    time.Duration
	log    *slog.Logger
	leases *lease.Locker // that calls this service

	joining mutex     // held while the key of this process is made
	first   sync.Once // the first process
	last    lastGrants

	ctx        context.Context // of what runs in the background; ended by ReleaseAll
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	process *process        // nil: see current
	peers   map[string]peer // by name, also this process; nil before the first join
}

var (
	_ lease.Service     = (*service)(nil)
	_ lease.AllReleaser = (*service)(nil)
)

func newService(client *api.Client, k keys, settings lease.Settings) *service {
	s := &service{client: client, keys: k, ttl: settings.TTL, log: settings.Logger, joining: make(mutex, 1)}
	s.last = lastGrants{client: client, making: make(mutex, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// request is what the service knows of a lease.Request: its Session.
type request struct {
	wish    uint64   // the number of its first wish; 0: none
	process *process // that has the lock
	index   uint64   // of the key of the lock; 0: no answer has shown that it has the lock
}

// maxConflicts bounds how often a call tries again because another request of the same id
// was faster.
const maxConflicts = 20

// Try implements lease.Service. The first Try of a request supposes that the lock is free:
// then it takes one round trip.
func (s *service) Try(ctx context.Context, r *lease.Request) (lease.Grant, error) {
	supposeFree := r.Session == nil
	if supposeFree {
		r.Session = new(request)
	}
	var err error
	for range maxConflicts {
		var grant lease.Grant
		grant, err = s.try(ctx, r, supposeFree)
		var c *conflict
		if !errors.As(err, &c) && err != errGone {
			return grant, err
		}
		supposeFree = false
	}
	return lease.Grant{}, err
}

// try returns a *conflict or errGone if it is to be called again.
func (s *service) try(ctx context.Context, r *lease.Request, supposeFree bool) (lease.Grant, error) {
	p, err := s.join(ctx)
	if err != nil {
		return lease.Grant{}, err
	}
	if supposeFree {
		return s.take(ctx, p, r, state{})
	}
	st, err := s.read(ctx, r.ID)
	if err != nil {
		return lease.Grant{}, err
	}
	own := r.Session.(*request)
	if own.wish == 0 && st.wish.belongsTo(r.Token) {
		own.wish = st.wish.number() // the answer to its registration was lost
	}
	switch {
	case st.lock.belongsTo(r.Token) && st.lock.Process == p.name:
		return s.confirm(ctx, p, r, st)
	case own.wish != 0 && st.newest(r.Token) > own.wish:
		return lease.Grant{}, lease.ErrOvertaken
	case st.lock != nil && st.lock.Process != p.name && !s.mayBeDead(st.lock.Process):
		return lease.Grant{}, s.wait(ctx, p, r, st)
	case r.Mode != tusd.LockPreempt && st.wish != nil && st.wish.Process != p.name && !s.mayBeDead(st.wish.Process):
		return lease.Grant{}, lease.ErrHeld
	}
	grant, err := s.take(ctx, p, r, st)
	s.noteLiving(st, err)
	return grant, err
}

// noteLiving notes which processes a conflict has shown to live.
func (s *service) noteLiving(st state, err error) {
	var c *conflict
	if !errors.As(err, &c) {
		return
	}
	for _, name := range st.processes() {
		if c.keys[s.keys.process(name)] {
			s.lives(name)
		}
	}
}

// take takes the lock, if the state is still st: nothing has it, a process that has died, or
// an earlier request of this process, whose call was late. A LockPreempt that has registered no wish takes the place of any wish.
func (s *service) take(ctx context.Context, p *process, r *lease.Request, st state) (lease.Grant, error) {
	own := r.Session.(*request)
	session, err := s.last.session(ctx)
	if err != nil {
		return lease.Grant{}, err
	}
	lockKey, wishKey, lastKey := s.keys.lock(r.ID), s.keys.wish(r.ID), s.keys.last(r.ID)
	var ops []*api.KVTxnOp
	if st.lock == nil {
		ops = append(ops, notExists(lockKey))
	} else {
		ops = append(ops, hasIndex(lockKey, st.lock.index))
		if st.lock.Process != p.name {
			ops = append(ops, notExists(s.keys.process(st.lock.Process)))
		}
	}
	switch preempts := r.Mode == tusd.LockPreempt; {
	case preempts && own.wish == 0:
		ops = append(ops, remove(wishKey))
	case st.wish == nil:
		ops = append(ops, notExists(wishKey))
	case preempts:
		ops = append(ops, hasIndex(wishKey, st.wish.index), remove(wishKey))
	case st.wish.Process == p.name:
		ops = append(ops, hasIndex(wishKey, st.wish.index), remove(wishKey))
	default:
		ops = append(ops, notExists(s.keys.process(st.wish.Process)), hasIndex(wishKey, st.wish.index), remove(wishKey))
	}
	value := lockValue{owner: owner{p.name, r.Token}, Preempt: r.Mode == tusd.LockPreempt, Wish: own.wish}
	ops = append(ops, set(lockKey, encode(value)),
		getOrEmpty(lastKey), remove(lastKey), lockBy(session, lastKey, encode(p.epoch)))
	answer, err := s.commitAlive(ctx, p, ops...)
	var c *conflict
	if errors.As(err, &c) && c.keys[lastKey] {
		s.last.drop(session)
	}
	if err != nil {
		return lease.Grant{}, err
	}
	own.process, own.index = p, answer.index(lockKey)
	grant := lease.Grant{N: p.epoch + own.index}
	if last := answer.first(lastKey); last.ModifyIndex != 0 && string(last.Value) == string(encode(p.epoch)) {
		grant.Before = p.epoch + last.ModifyIndex
	}
	return grant, nil
}

// confirm returns the grant of a request that has the lock already.
func (s *service) confirm(ctx context.Context, p *process, r *lease.Request, st state) (lease.Grant, error) {
	if _, err := s.commitAlive(ctx, p, hasIndex(s.keys.lock(r.ID), st.lock.index)); err != nil {
		return lease.Grant{}, err
	}
	own := r.Session.(*request)
	own.process, own.index = p, st.lock.index
	return lease.Grant{N: p.epoch + own.index}, nil
}

// wait returns ErrHeld. A LockPreempt has registered its wish then.
func (s *service) wait(ctx context.Context, p *process, r *lease.Request, st state) error {
	if r.Mode != tusd.LockPreempt || st.wish.belongsTo(r.Token) && st.wish.Holder == st.lock.owner && st.wish.Process == p.name {
		return lease.ErrHeld
	}
	own := r.Session.(*request)
	index := uint64(0)
	if st.wish != nil {
		index = st.wish.index
	}
	wish := wishValue{owner: owner{p.name, r.Token}, Holder: st.lock.owner, Number: own.wish}
	answer, err := s.commit(ctx, []*api.KVTxnOp{
		get(p.key), hasIndex(s.keys.lock(r.ID), st.lock.index), replace(s.keys.wish(r.ID), index, encode(wish)),
	})
	var c *conflict
	if errors.As(err, &c) && c.keys[p.key] {
		s.leave(p)
	}
	if err != nil {
		return err
	}
	if own.wish == 0 {
		own.wish = answer.index(s.keys.wish(r.ID))
	}
	return lease.ErrHeld
}

// Release implements lease.Service. If no other request waits for the lock, it takes one
// round trip.
func (s *service) Release(ctx context.Context, r *lease.Request) error {
	if own, ok := r.Session.(*request); ok && own.index != 0 {
		_, err := s.commit(ctx, []*api.KVTxnOp{removeAt(s.keys.lock(r.ID), own.index), notExists(s.keys.wish(r.ID))})
		var c *conflict
		if !errors.As(err, &c) {
			return err
		}
	}
	var err error
	for range maxConflicts {
		err = s.release(ctx, r)
		var c *conflict
		if !errors.As(err, &c) {
			return err
		}
	}
	return err
}

// release removes the lock and the wish of r. It marks the wish of another request, whose
// process watches it. It returns a *conflict if it is to be called again.
func (s *service) release(ctx context.Context, r *lease.Request) error {
	st, err := s.read(ctx, r.ID)
	if err != nil {
		return err
	}
	var ops []*api.KVTxnOp
	held := st.lock.belongsTo(r.Token)
	if held {
		ops = append(ops, removeAt(s.keys.lock(r.ID), st.lock.index))
	}
	switch wish := s.keys.wish(r.ID); {
	case st.wish.belongsTo(r.Token):
		ops = append(ops, removeAt(wish, st.wish.index))
	case held && st.wish != nil:
		value := st.wish.wishValue
		value.Number, value.Free = st.wish.number(), true
		ops = append(ops, replace(wish, st.wish.index, encode(value)))
	case held:
		ops = append(ops, notExists(wish))
	}
	if len(ops) == 0 {
		return nil
	}
	_, err = s.commit(ctx, ops)
	return err
}

// Renew implements lease.Service: one heartbeat is for all leases of this process. Without
// a key of this process it makes one, so that every call reaches Consul.
func (s *service) Renew(ctx context.Context, held []*lease.Request) (lost []*lease.Request, err error) {
	p := s.current()
	if p != nil {
		if err = s.heartbeat(ctx, p); err == errGone {
			p = nil
		} else if err != nil {
			return nil, err
		}
	}
	for _, r := range held {
		if p == nil || r.Session.(*request).process != p {
			lost = append(lost, r)
		}
	}
	if p == nil {
		_, err = s.join(ctx)
	}
	return lost, err
}

// start runs f in the background, unless s is closed. f returns when s.ctx ends.
func (s *service) start(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.background.Go(f)
	}
}

func (s *service) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// ReleaseAll implements lease.AllReleaser: without the key of this process its locks are
// free, and it makes no other key.
func (s *service) ReleaseAll(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.background.Wait()
	if err := s.joining.lock(ctx); err != nil { // a call of newProcess may be under way
		return err
	}
	defer s.joining.unlock()
	p := s.current()
	if p == nil {
		return nil
	}
	if _, err := s.client.KV().Delete(p.key, write(ctx)); err != nil {
		return err // then the others find it dead
	}
	s.leave(p)
	return s.sweep(ctx)
}

// mutex is a lock that is waited for until a context ends: a channel of capacity 1.
type mutex chan struct{}

func (m mutex) lock(ctx context.Context) error {
	select {
	case m <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m mutex) unlock() { <-m }
