package etcdlocker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// service is a lease.Service on etcd.
type service struct {
	connect    func(context.Context) (*clientv3.Client, error)
	disconnect func() error
	keys       keys
	ttl        time.Duration
	process    string // for people who look at the keys
	locker     *lease.Locker

	client    atomic.Pointer[clientv3.Client] // nil before the first session
	changing  chan struct{}                   // capacity 1: see enter
	keepAlive keepAlive                       // used by who has entered
	watches   sync.WaitGroup

	mu      sync.Mutex
	session *session // nil: there is none now
	closed  bool
}

var (
	_ lease.Service     = (*service)(nil)
	_ lease.AllReleaser = (*service)(nil)
)

func newService(connect func(context.Context) (*clientv3.Client, error), disconnect func() error, keys keys, ttl time.Duration) *service {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &service{
		connect: connect, disconnect: disconnect, keys: keys, ttl: ttl,
		process:  fmt.Sprintf("%s:%d", strings.ReplaceAll(host, " ", "_"), os.Getpid()),
		changing: make(chan struct{}, 1),
	}
}

// request is what a service keeps in lease.Request.Session.
type request struct {
	session *session
	claim   claim
}

// Try implements lease.Service.
func (s *service) Try(ctx context.Context, r *lease.Request) (lease.Grant, error) {
	x, err := s.currentSession(ctx)
	if err != nil {
		return lease.Grant{}, err
	}
	grant, err := s.tryIn(ctx, x, r)
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return grant, err
	}
	if x, err = s.replaceSession(ctx, x); err != nil {
		return lease.Grant{}, err
	}
	return s.tryIn(ctx, x, r)
}

// tryIn is Try in a session. It looks at the keys and changes them, if they are still what
// was seen; and again, if another request was faster.
func (s *service) tryIn(ctx context.Context, x *session, r *lease.Request) (lease.Grant, error) {
	q := s.begin(x, r)
	last, renewed := x.leases()
	var seen view // usually there is no key, so this is what is tried first
	for {
		next := seen.next(q.claim)
		switch next {
		case granted:
			return lease.Grant{N: x.number(seen.lock.revision), Since: renewed}, nil
		case overtaken:
			return lease.Grant{}, lease.ErrOvertaken
		case wait:
			return lease.Grant{}, lease.ErrHeld
		}
		answer, err := s.change(x, last, r.ID, q.claim, seen, next).Do(ctx, s.client.Load())
		switch {
		case err != nil:
			return lease.Grant{}, err
		case answer.Succeeded && next == take:
			return lease.Grant{N: x.number(answer.Header.Revision), Before: x.before(answer), Since: renewed}, nil
		case answer.Succeeded:
			return lease.Grant{}, lease.ErrHeld
		}
		if seen, err = s.seen(answer); err != nil {
			return lease.Grant{}, err
		}
		if q.claim.order == atGrant {
			q.claim.order = answer.Header.Revision
		}
	}
}

// begin returns what is known of r, for a call of Try in x.
func (s *service) begin(x *session, r *lease.Request) *request {
	q, ok := r.Session.(*request)
	if !ok {
		q = &request{session: x, claim: claim{token: r.Token, process: s.process}}
		if r.Mode != tusd.LockPreempt {
			q.claim.order = behindAll
		}
		r.Session = q
	}
	if q.session.epoch != x.epoch && q.claim.order != behindAll {
		q.claim.order = atGrant // the revisions have begun again
	}
	q.session, q.claim.session = x, x.id
	return q
}

// transaction is a transaction of etcd that is not sent yet.
type transaction struct {
	conditions []clientv3.Cmp
	then, or   []clientv3.Op
}

func (t transaction) Do(ctx context.Context, client *clientv3.Client) (*clientv3.TxnResponse, error) {
	return client.Txn(ctx).If(t.conditions...).Then(t.then...).Else(t.or...).Commit()
}

// change returns the transaction that takes the lock of id for me, or puts its wish, if the
// keys are still as seen. If not, it returns the keys.
func (s *service) change(x *session, last clientv3.LeaseID, id string, me claim, seen view, what step) transaction {
	lockKey, wishKey, lastKey := s.keys.lock(id), s.keys.wish(id), s.keys.last(id)
	lockRevision, wishRevision := seen.revisions()
	t := transaction{
		conditions: []clientv3.Cmp{
			clientv3.Compare(clientv3.ModRevision(lockKey), "=", lockRevision),
			clientv3.Compare(clientv3.ModRevision(wishKey), "=", wishRevision),
		},
		or: []clientv3.Op{clientv3.OpGet(lockKey), clientv3.OpGet(wishKey)},
	}
	if what == wish {
		me.holder, me.holderSession = seen.lock.token, seen.lock.session
		t.then = []clientv3.Op{clientv3.OpPut(wishKey, me.value(), clientv3.WithLease(x.id))}
		return t
	}
	t.then = []clientv3.Op{
		clientv3.OpGet(lastKey), // before: see number
		clientv3.OpPut(lastKey, strconv.FormatUint(x.epoch, 10), clientv3.WithLease(last)),
		clientv3.OpPut(lockKey, me.value(), clientv3.WithLease(x.id)),
	}
	if seen.wish != nil {
		t.then = append(t.then, clientv3.OpDelete(wishKey))
	}
	return t
}

// number returns the fencing number of a grant at a revision.
func (x *session) number(revision int64) uint64 { return x.epoch + uint64(revision) }

// before returns the number of the grant before the one of answer, 0 if it is not known.
func (x *session) before(answer *clientv3.TxnResponse) uint64 {
	for _, kv := range answer.Responses[0].GetResponseRange().Kvs {
		if string(kv.Value) == strconv.FormatUint(x.epoch, 10) {
			return x.number(kv.ModRevision)
		}
	}
	return 0
}

// seen reads the keys in the answer to a change that was not made.
func (s *service) seen(answer *clientv3.TxnResponse) (v view, err error) {
	for i, c := range []**claim{&v.lock, &v.wish} {
		for _, kv := range answer.Responses[i].GetResponseRange().Kvs {
			if *c, err = parseClaim(kv); err != nil {
				return view{}, err
			}
		}
	}
	return v, nil
}

// replaceSession returns a session in which a lock can be put, after an etcd lease of x was
// not found.
func (s *service) replaceSession(ctx context.Context, x *session) (*session, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if now := s.present(); now != x && now != nil {
		return now, nil
	}
	x.mu.Lock()
	x.last = 0 // it may be the one that is gone
	x.mu.Unlock()
	if err := s.renewLastLease(ctx, x); err != nil {
		return nil, err
	}
	return s.renewSession(ctx, x)
}

// Release implements lease.Service. A wish of another process is put again as it is: its
// process watches it, and so learns that the lock is free.
func (s *service) Release(ctx context.Context, r *lease.Request) error {
	client := s.client.Load()
	if client == nil {
		return lease.ErrNotCalled // no call has reached etcd
	}
	lockKey, wishKey := s.keys.lock(r.ID), s.keys.wish(r.ID)
	isLock := belongsTo(lockKey, r.Token)
	unlock := clientv3.OpDelete(lockKey)
	_, err := transaction{
		conditions: belongsTo(wishKey, r.Token),
		then:       []clientv3.Op{clientv3.OpDelete(wishKey), clientv3.OpTxn(isLock, []clientv3.Op{unlock}, nil)},
		or:         []clientv3.Op{clientv3.OpTxn(isLock, []clientv3.Op{unlock, touch(wishKey)}, nil)},
	}.Do(ctx, client)
	return err
}

// touch puts a key again, if it exists, with the value and the lease that it has.
func touch(key string) clientv3.Op {
	return clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), ">", 0)},
		[]clientv3.Op{clientv3.OpPut(key, "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease())},
		nil)
}

// Renew implements lease.Service. It renews the session, and with it all locks. The locks
// of earlier sessions are lost.
func (s *service) Renew(ctx context.Context, held []*lease.Request) (lost []*lease.Request, err error) {
	err = s.renewPresent(ctx)
	x := s.present()
	for _, r := range held {
		if r.Session.(*request).session != x {
			lost = append(lost, r)
		}
	}
	return lost, err
}

// renewPresent renews the session, or makes one.
func (s *service) renewPresent(ctx context.Context) (err error) {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if x := s.present(); x != nil {
		_, err = s.renewSession(ctx, x)
	} else {
		_, err = s.openSession(ctx)
	}
	return err
}

// ReleaseAll implements lease.AllReleaser. It revokes the session, and wakes the requests of
// other processes that wait for its locks.
func (s *service) ReleaseAll(ctx context.Context) error {
	s.mu.Lock()
	x := s.session
	s.closed = true
	s.mu.Unlock()
	if x == nil {
		return nil
	}
	client := s.client.Load()
	if _, err := client.Revoke(ctx, x.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	wishes, err := client.Get(ctx, s.keys.wishes(), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range wishes.Kvs {
		if c, err := parseClaim(kv); err == nil && c.holderSession == x.id {
			if _, err := client.Do(ctx, touch(string(kv.Key))); err != nil {
				return err
			}
		}
	}
	return nil
}

// close ends what runs in the background, and the client. Nothing is called afterwards.
func (s *service) close() error {
	s.mu.Lock()
	s.closed = true
	x := s.session
	s.mu.Unlock()
	if x != nil {
		x.ended()
	}
	s.watches.Wait()
	s.changing <- struct{}{} // wait for a call that is under way
	defer s.leave()
	s.keepAlive.close()
	return s.disconnect()
}
