// Package consullocker locks uploads among the processes that use one Consul, with leases
// that can be lost. All processes need the same Prefix and TTL.
//
// # Keys
//
// All keys lie under the prefix, here tusd.
//
//	tusd/alive/PROCESS  a process, and its heartbeat: the index of the key changes
//	tusd/lock/ID        the lock of an upload: its process and its request
//	tusd/wish/ID        the newest LockPreempt that waits for it
//	tusd/wish/          the epoch, which begins all fencing numbers
//	tusd/last/ID        the last grant of an id; it vanishes by itself after 10 to 20 minutes
//
// # Leases
//
// A lock belongs to a process, and is valid as long as the key of the process exists. Every
// transaction that makes leases valid for longer, a heartbeat or a grant, requires that key
// and changes it. Every process reads the keys of all processes together with its own
// heartbeat. If the index of one has not changed for the time to live, by the clock of the
// process that watches, its leases have ended by their own clock, a margin ago: the key is
// deleted, if it has that index still, and from then on each lock of that process is free.
// A process whose key is gone has lost its leases, and goes on under a new name.
//
// Sessions of Consul do not hold the locks: see decision 0052 of the project. They only
// make the last grants vanish.
//
// # Numbers
//
// Indices of Consul grow with every write. A fencing number is the index of the grant plus
// the epoch: the time in microseconds at which the first process found no epoch in Consul.
// So the numbers grow also if Consul has lost its data. If a Consul is set up anew from a
// snapshot, numbers that were given after the snapshot can occur again: delete the key of
// the epoch then.
//
//	consullocker.go  the locker
//	service.go       the lease.Service: try, release, renew
//	state.go         what Consul has of an id, and what follows from it
//	process.go       the key of this process, and those of the others
//	dead.go          the removal of processes that have died, and of their keys
//	wishes.go        the watch of the wishes
//	lastgrants.go    the sessions of the last grants
//	keys.go          keys and values
//	transaction.go   transactions
package consullocker

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// Options of a ConsulLocker. The zero value of each means its default.
type Options struct {
	// Prefix begins all keys; "": tusd.
	Prefix string
	// TTL is the time without a heartbeat after which a process has lost its locks;
	// 0: 15 s. It is the same in all processes.
	TTL time.Duration
	// Logger gets a line when Consul is unreachable, and when it is back, and for each
	// process that has died; nil: slog.Default.
	Logger *slog.Logger
}

// defaultTTL lets running requests keep their locks while Consul restarts, which takes some
// seconds: four heartbeats can fail before the leases are lost.
const defaultTTL = 15 * time.Second

// ConsulLocker is a tusd.Locker on a Consul. Safe for concurrent use.
type ConsulLocker struct {
	leases  *lease.Locker
	service *service
}

var _ tusd.Locker = (*ConsulLocker)(nil)

// New returns a locker on client. It calls Consul when the first lock is requested.
//
// Its token needs key_prefix write on the prefix, and session write on the node of the
// agent. The client's transport should keep as many idle connections as there are
// concurrent requests.
func New(client *api.Client, o Options) *ConsulLocker {
	settings := lease.Settings{Service: "Consul", TTL: cmp.Or(o.TTL, defaultTTL), Logger: o.Logger}
	settings.RenewInterval = settings.TTL / 6 // 2.5 s, as for other services
	if settings.Logger == nil {
		settings.Logger = slog.Default()
	}
	s := newService(client, keys{cmp.Or(o.Prefix, "tusd") + "/"}, settings)
	s.leases = lease.New(s, settings)
	return &ConsulLocker{s.leases, s}
}

// UseIn makes l the locker of composer.
func (l *ConsulLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }

// Lock implements tusd.Locker.
func (l *ConsulLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	return l.leases.Lock(ctx, id, mode)
}

// Scope is tusd.ScopeLease.
func (l *ConsulLocker) Scope() tusd.Scope { return l.leases.Scope() }

// Stats returns the present state of l.
func (l *ConsulLocker) Stats() lease.Stats { return l.leases.Stats() }

// Close makes every further Lock fail. Leases that are still held are lost, and their locks
// are released. It waits for Consul until ctx ends at most. It does not close the client.
func (l *ConsulLocker) Close(ctx context.Context) error { return l.leases.Close(ctx) }
