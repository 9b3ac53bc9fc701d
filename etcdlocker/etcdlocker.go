// Package etcdlocker locks uploads among all processes that use one etcd. Its locks are
// leases: they can be lost, see tusd.ErrLockLost.
//
//	etcdlocker.go  the locker and its client
//	dial.go        a client that is made when it is needed
//	session.go     the one etcd lease of a process, to which all its keys belong
//	keepalive.go   its renewal
//	service.go     take, release and renew locks: one transaction each
//	claim.go       the values of keys, and who goes first
//	wishes.go      the watch by which a process learns that others wait
//
// All keys are below the prefix of the locker:
//
//	epoch      the time at which the first process came; it begins the fencing numbers
//	lock/ID    the lock of an upload
//	want/ID    the newest LockPreempt that waits for it
//	last/ID    its last grant; it stays for 5 to 10 minutes after that
//
// Locks and wishes of a process that dies expire with its etcd lease. Keys of last expire
// with leases of their own, which are never renewed.
package etcdlocker

import (
	"context"
	"log/slog"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// Options of a locker. The zero value of each means its default.
type Options struct {
	// Prefix begins all keys. All processes that serve the same uploads have the same,
	// others have another one. "": tusd. A / is added at its end if it is missing.
	Prefix string
	// TTL is the time after which the locks of a process that died are free, in whole
	// seconds, from 2 s; 0: 10 s. It is the same in all processes.
	TTL time.Duration
	// Logger gets a line when etcd is unreachable, and when it is back; nil:
	// slog.Default.
	Logger *slog.Logger
}

func (o Options) keys() keys {
	prefix := o.Prefix
	if prefix == "" {
		prefix = "tusd"
	}
	if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return keys(prefix)
}

// EtcdLocker locks uploads by an etcd. Its methods may be called concurrently.
type EtcdLocker struct {
	locker  *lease.Locker
	service *service
}

var _ tusd.Locker = (*EtcdLocker)(nil)

// New returns a locker that uses client. It calls etcd when the first lock is requested.
// The caller closes client after Close, and has set its DialKeepAliveTime: without it a
// connection to a machine that is gone stays for minutes, and with it the wishes that others
// send over it. A user of etcd needs to read and write the keys below the prefix.
func New(client *clientv3.Client, options Options) *EtcdLocker {
	connect := func(context.Context) (*clientv3.Client, error) { return client, nil }
	return newLocker(connect, func() error { return nil }, options, lease.Settings{Service: nameOf(client.Endpoints())})
}

// Open returns a locker that makes its client when the first lock is requested, and closes
// it. A client with a user and a password can only be made while etcd is reachable.
func Open(config clientv3.Config, options Options) *EtcdLocker {
	d := &dialer{config: config}
	return newLocker(d.connect, d.close, options, lease.Settings{Service: nameOf(config.Endpoints)})
}

func nameOf(endpoints []string) string { return "etcd at " + strings.Join(endpoints, ",") }

func newLocker(connect func(context.Context) (*clientv3.Client, error), disconnect func() error, options Options, settings lease.Settings) *EtcdLocker {
	settings.TTL, settings.Logger = options.TTL, options.Logger
	if settings.TTL == 0 {
		settings.TTL = defaultTTL
	}
	s := newService(connect, disconnect, options.keys(), settings.TTL)
	s.locker = lease.New(s, settings)
	return &EtcdLocker{s.locker, s}
}

const defaultTTL = 10 * time.Second

// UseIn makes l the locker of composer.
func (l *EtcdLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }

// Scope is ScopeLease.
func (l *EtcdLocker) Scope() tusd.Scope { return tusd.ScopeLease }

// Lock implements tusd.Locker.
func (l *EtcdLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	return l.locker.Lock(ctx, id, mode)
}

// Stats returns what l holds and has done.
func (l *EtcdLocker) Stats() lease.Stats { return l.locker.Stats() }

// Close makes every further Lock fail. Leases that are still held are lost, and all locks
// of l are free for others at once, if etcd is reachable until ctx ends.
func (l *EtcdLocker) Close(ctx context.Context) error {
	err := l.locker.Close(ctx)
	if closeErr := l.service.close(); err == nil {
		err = closeErr
	}
	return err
}
