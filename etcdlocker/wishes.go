package etcdlocker

import (
	"bytes"
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// watchPause is the time before the watch begins again after it was ended by etcd.
const watchPause = 250 * time.Millisecond

// watch tells the locker of all wishes from a revision on, until ctx ends. Locks of x are
// newer than that revision, so every wish for one of them is seen.
func (s *service) watch(ctx context.Context, x *session, revision int64) {
	client := s.client.Load()
	for ctx.Err() == nil {
		events := client.Watch(clientv3.WithRequireLeader(ctx), s.keys.wishes(),
			clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(revision))
		for answer := range events {
			for _, event := range answer.Events {
				s.changed(x, event)
			}
			switch {
			case answer.CompactRevision > 0:
				revision = s.catchUp(ctx, x, answer.CompactRevision)
			case len(answer.Events) > 0: // the header of old events has a newer revision
				revision = answer.Events[len(answer.Events)-1].Kv.ModRevision + 1
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}

// catchUp reads all wishes, after etcd has forgotten what was changed before compacted. It
// returns the revision to watch from.
func (s *service) catchUp(ctx context.Context, x *session, compacted int64) (revision int64) {
	wishes, err := s.client.Load().Get(ctx, s.keys.wishes(), clientv3.WithPrefix())
	if err != nil {
		return compacted // that may still be there: if not, catchUp is called again
	}
	for _, kv := range wishes.Kvs {
		s.wished(x, kv)
	}
	s.locker.WakeAll()
	return wishes.Header.Revision + 1
}

// changed tells the locker of one change.
func (s *service) changed(x *session, event *clientv3.Event) {
	touched := event.PrevKv != nil && bytes.Equal(event.PrevKv.Value, event.Kv.Value)
	if event.Type == clientv3.EventTypePut && !touched {
		s.wished(x, event.Kv)
		return
	}
	// The lock is free, or the wish is gone because a newer request has the lock.
	s.locker.Wake(s.idOf(event.Kv))
}

// wished tells the locker of a wish.
func (s *service) wished(x *session, kv *mvccpb.KeyValue) {
	c, err := parseClaim(kv)
	if err != nil {
		return // the calls that meet it tell
	}
	id := s.idOf(kv)
	if c.holderSession == x.id {
		s.locker.Preempt(id, c.holder)
	}
	if c.session == x.id {
		s.locker.ReleaseLeftover(id, c.token)
	} else {
		s.locker.Wake(id) // it may be newer than the one of this process
	}
}

func (s *service) idOf(kv *mvccpb.KeyValue) string {
	return strings.TrimPrefix(string(kv.Key), s.keys.wishes())
}
