package etcdlocker

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keys makes the keys below a prefix, which ends with a slash.
type keys string

func (k keys) epoch() string         { return string(k) + "epoch" }
func (k keys) lock(id string) string { return string(k) + "lock/" + id }
func (k keys) last(id string) string { return string(k) + "last/" + id }
func (k keys) wish(id string) string { return k.wishes() + id }
func (k keys) wishes() string        { return string(k) + "want/" }

// claim is the value of a lock or of a wish: a request that has the lock, or wants it.
//
// The order of two LockPreempt is that of the revisions of etcd at which each began: see
// newerThan.
type claim struct {
	token   string
	order   int64 // the revision at which it began; behindAll: it is no LockPreempt
	process string

	// Of a wish: the lock that it waits for.
	holder        string // its token
	holderSession clientv3.LeaseID

	session  clientv3.LeaseID // of the key
	revision int64            // of the key
}

const (
	behindAll = -1
	atGrant   = 0 // in the value of a lock: the revision just before its own
	none      = "-"
)

// value returns c as the value of a key. It begins with the token and a space: see belongsTo.
func (c claim) value() string {
	holder := c.holder
	if holder == "" {
		holder = none
	}
	return fmt.Sprintf("%s %d %s %x %s", c.token, c.order, holder, int64(c.holderSession), c.process)
}

// parseClaim reads the key of a lock or of a wish.
func parseClaim(kv *mvccpb.KeyValue) (*claim, error) {
	c := &claim{session: clientv3.LeaseID(kv.Lease), revision: kv.ModRevision}
	_, err := fmt.Sscanf(string(kv.Value), "%s %d %s %x %s", &c.token, &c.order, &c.holder, (*int64)(&c.holderSession), &c.process)
	if err != nil {
		return nil, fmt.Errorf("etcdlocker: the key %q has a value of another program: %w", kv.Key, err)
	}
	if c.order == atGrant {
		c.order = kv.ModRevision - 1
	}
	return c, nil
}

// belongsTo returns the conditions that the key of a lock or wish has a value of token. " "
// is before "!", and no token has one of them.
func belongsTo(key, token string) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.Value(key), ">", token+" "),
		clientv3.Compare(clientv3.Value(key), "<", token+"!"),
	}
}

// newerThan reports whether c is a LockPreempt that began after other. Two that began at
// the same revision began at the same time: then either order is right.
func (c *claim) newerThan(other claim) bool {
	if c == nil || c.order == behindAll {
		return false
	}
	if c.order == other.order {
		return c.token > other.token
	}
	return c.order > other.order
}

// view is what a request has seen of an id; nil: the key does not exist.
type view struct {
	lock, wish *claim
}

// step is what a request does next.
type step int

const (
	take      step = iota // take the lock
	wish                  // put the wish for it
	wait                  // another request goes first
	overtaken             // a newer LockPreempt goes first, and this one gives up
	granted               // the lock is taken already
)

// next decides for me. A key of another request of the same session was left behind:
// package lease lets only one request of an id call Try, after the holder has let go. Such
// a key counts as free.
func (v view) next(me claim) step {
	lock, want := v.lock, v.wish
	if lock.leftBehindFor(me) {
		lock = nil
	}
	if want.leftBehindFor(me) {
		want = nil
	}
	preempts := me.order != behindAll
	switch {
	case lock != nil && lock.token == me.token && lock.session == me.session:
		return granted
	case preempts && (want.newerThan(me) || lock.newerThan(me)):
		return overtaken
	case lock == nil && (preempts || want == nil):
		return take
	case preempts && (want == nil || want.token != me.token || want.holder != lock.token):
		return wish
	}
	return wait
}

func (c *claim) leftBehindFor(me claim) bool {
	return c != nil && c.session == me.session && c.token != me.token
}

// revisions returns the revisions of both keys; 0: it does not exist.
func (v view) revisions() (lock, wish int64) {
	if v.lock != nil {
		lock = v.lock.revision
	}
	if v.wish != nil {
		wish = v.wish.revision
	}
	return lock, wish
}
