// Package redislocker locks uploads among the processes of several machines, in Redis: a
// single server, one with replicas and Sentinel, or a Redis Cluster. It is made for
// stores that several machines share, like s3store.
//
// # What it promises
//
// A lock is a key that lives for ten seconds and is renewed every 2.5 seconds by its
// holder. A holder that dies loses its locks after ten seconds. A holder that cannot renew,
// because it was stopped or is cut off, ends its leases two seconds before another process
// can get them.
//
// After a start of Redis and after a failover, locks can be missing: Redis does not keep
// every write. So no lock is given out for ten seconds then, and the holders' renewals put
// their locks back. Requests that wait for a lock take longer in that time; they do not
// fail. The locks are lost if keys are removed while a server runs: do not use FLUSHALL, and
// set maxmemory-policy to noeviction.
//
// Three things cannot be excluded. If a network is divided so that two servers of one Sentinel
// or Cluster deployment believe to be the primary, both give out locks until the old one
// notices. min-replicas-to-write and min-replicas-max-lag of Redis shorten that time.
//
// Redis expires keys by the time of day of its machine. If that steps forward by more than
// the margin of two seconds, locks are free while they are held, and their holders learn it
// at the next renewal. The clock has to be slewed, not stepped.
//
// The numbers of Lease.Fence are the server's time at least. They only decrease if data is
// lost and the clock of the new primary is behind the clock of the old one by more than
// the failover took.
package redislocker

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// Options of a RedisLocker. The zero value of each means its default.
type Options struct {
	// Prefix begins the name of every key, in braces: all keys have the same hash tag, so a
	// Redis Cluster keeps them in one slot, on one server. Processes with the same prefix
	// exclude each other. It must not have braces; "": tusd.
	Prefix string
	// TTL is the time after which the locks of a dead process are free. It must be the same
	// in all processes; 0: 10 s.
	TTL time.Duration
	// Logger gets a line when Redis is unreachable, and when it is back; nil: slog.Default.
	Logger *slog.Logger
}

// RedisLocker locks uploads in Redis. Its methods may be called concurrently.
type RedisLocker struct {
	*lease.Locker
	service *service
}

var _ tusd.Locker = (*RedisLocker)(nil)

// New returns a locker on the Redis of client. The options of client should have
// ContextTimeoutEnabled: otherwise calls end with the timeouts of the client, not with the
// shorter ones of the locker. New calls nothing; Redis is first needed by Lock.
func New(client redis.UniversalClient, options Options) *RedisLocker {
	s := newService(client, options)
	s.locker = lease.New(s, lease.Settings{Service: "Redis" + addressOf(client), TTL: options.TTL, Logger: options.Logger})
	s.ttl = s.locker.TTL
	return &RedisLocker{s.locker, s}
}

// addressOf returns the address of a client for the log, with " at " before it; "" if it
// has none of its own.
func addressOf(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *redis.Client:
		return " at " + c.Options().Addr
	case *redis.ClusterClient:
		return " Cluster at " + strings.Join(c.Options().Addrs, ", ")
	}
	return ""
}

// UseIn makes l the locker of composer.
func (l *RedisLocker) UseIn(composer *tusd.StoreComposer) { composer.UseLocker(l) }

// Close makes every further Lock fail. Leases that are still held are lost, and their
// locks are released. It waits for Redis until ctx ends at most. It does not close the
// client.
func (l *RedisLocker) Close(ctx context.Context) error {
	err := l.Locker.Close(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.service.close() // it waits for a connection that is being made
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return err
}

// Unsafe returns a sentence on each setting of the server by which locks can be lost, or
// become unreachable. It returns nothing for settings that the server does not tell.
func (l *RedisLocker) Unsafe(ctx context.Context) (problems []string, err error) {
	info, err := l.service.client.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	_, forCluster := l.service.client.(*redis.ClusterClient)
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); {
		case name == "maxmemory_policy" && value != "noeviction":
			problems = append(problems, "maxmemory-policy of Redis is "+value+": it may remove locks that are held when memory runs out; set it to noeviction")
		case name == "cluster_enabled" && value == "1" && !forCluster:
			problems = append(problems, "Redis is a member of a Redis Cluster, and this server treats it as the only one: it cannot lock any more when another member gets the keys")
		}
	}
	return problems, nil
}
