package etcdlocker

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// session is an etcd lease of this process. All its locks and wishes belong to it and end
// with it.
type session struct {
	id    clientv3.LeaseID
	epoch uint64 // of the fencing numbers
	ended context.CancelFunc

	mu        sync.Mutex
	renewed   time.Time        // when the last good renewal was sent
	last      clientv3.LeaseID // the etcd lease of new keys of last
	lastStart time.Time
}

const (
	// lastTTL is the time to live of an etcd lease of keys of last, and lastAge the time for
	// which it takes new keys.
	lastTTL = 10 * time.Minute
	lastAge = lastTTL / 2
)

var errClosed = errors.New("etcdlocker: the locker is closed")

// currentSession returns the session, and renews what is due of it. It makes a session if
// there is none.
func (s *service) currentSession(ctx context.Context) (*session, error) {
	if x, ready, err := s.readySession(); ready || err != nil {
		return x, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	x, ready, err := s.readySession()
	switch {
	case ready || err != nil:
		return x, err
	case x == nil:
		return s.openSession(ctx)
	}
	if err := s.renewLastLease(ctx, x); err != nil {
		return nil, err
	}
	return s.renewSession(ctx, x)
}

// readySession returns the session, nil if there is none, and reports whether nothing of
// it is due. A session that is older than half of its time to live is due, so that a
// lock that is granted now has some time left.
func (s *service) readySession() (x *session, ready bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, errClosed
	}
	x = s.session
	if x == nil {
		return nil, false, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x, time.Since(x.renewed) < s.ttl/2 && time.Since(x.lastStart) < lastAge, nil
}

// enter lets one caller at a time change the session.
func (s *service) enter(ctx context.Context) error {
	select {
	case s.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *service) leave() { <-s.changing }

// openSession makes a session. The caller has entered.
func (s *service) openSession(ctx context.Context) (*session, error) {
	client, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	x := &session{renewed: time.Now()}
	created, err := client.Grant(ctx, seconds(s.ttl))
	if err != nil {
		client.ActiveConnection().ResetConnectBackoff()
		return nil, err
	}
	x.id = created.ID
	s.client.Store(client)
	if err := s.renewLastLease(ctx, x); err != nil {
		return nil, err
	}
	revision, err := s.readEpoch(ctx, x)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	s.session = x
	var watching context.Context
	watching, x.ended = context.WithCancel(context.Background())
	s.watches.Go(func() { s.watch(watching, x, revision+1) })
	return x, nil
}

// seconds returns d in whole seconds, the unit of etcd, not less than d.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// readEpoch sets the epoch of x, and returns the revision of etcd. An etcd that has lost
// its data counts its revisions from 1 again: the time of its first session, in
// microseconds, is added to them. So numbers grow as long as etcd does not make more than
// a million revisions per second.
func (s *service) readEpoch(ctx context.Context, x *session) (revision int64, err error) {
	key, now := s.keys.epoch(), strconv.FormatInt(time.Now().UnixMicro(), 10)
	answer, err := s.client.Load().Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, now)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return 0, err
	}
	text := now
	if !answer.Succeeded {
		text = string(answer.Responses[0].GetResponseRange().Kvs[0].Value)
	}
	x.epoch, err = strconv.ParseUint(text, 10, 63)
	return answer.Header.Revision, err
}

// renewLastLease makes a new lease for keys of last, if the one that x has is old. The
// caller has entered.
func (s *service) renewLastLease(ctx context.Context, x *session) error {
	if x.last != 0 && time.Since(x.lastStart) < lastAge { // only changed by who has entered
		return nil
	}
	start := time.Now()
	created, err := s.client.Load().Grant(ctx, seconds(lastTTL))
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last, x.lastStart = created.ID, start
	return nil
}

// renewSession renews x, and returns a new session if etcd has given x up. The caller has
// entered.
func (s *service) renewSession(ctx context.Context, x *session) (*session, error) {
	sent := time.Now()
	err := s.keepAlive.renew(ctx, s.client.Load(), x.id)
	if err == rpctypes.ErrLeaseNotFound {
		s.endSession(x)
		x, err = s.openSession(ctx)
		if err == nil {
			s.locker.WakeAll() // wishes have ended with the session
		}
		return x, err
	}
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.renewed = sent
	return x, nil
}

// endSession ends the use of x.
func (s *service) endSession(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == x {
		s.session = nil
		x.ended()
	}
}

// present returns the session, nil if there is none.
func (s *service) present() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// leases returns the lease of new keys of last, and when x was renewed.
func (x *session) leases() (last clientv3.LeaseID, renewed time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last, x.renewed
}
