package redislocker

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// startSentinel starts a Sentinel that watches primary, and returns its address.
func startSentinel(t *testing.T, primary string) (address string) {
	t.Helper()
	address = loopback.Address()
	host, port, _ := net.SplitHostPort(address)
	primaryHost, primaryPort, _ := net.SplitHostPort(primary)
	dir := t.TempDir()
	config := filepath.Join(dir, "sentinel.conf") // Sentinel writes it, too
	text := fmt.Sprintf("bind %s\nport %s\ndir %s\nsentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
		host, port, dir, primaryHost, primaryPort)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("redis-server", config, "--sentinel")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill() // fails if it has ended
		command.Wait()         // says how it ended
	})
	client := redis.NewSentinelClient(&redis.Options{Addr: address})
	t.Cleanup(func() { client.Close() })
	await(t, "Sentinel knows the replica", func() bool {
		replicas, err := client.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1
	})
	return address
}

// When the primary dies, Sentinel makes the replica the primary. A lease that is held is
// put back there, and no other request gets its lock.
func TestSentinel(t *testing.T) {
	require.Long(t)
	t.Parallel()
	primary := lockservices.Redis(t)
	host, port, _ := net.SplitHostPort(primary.Addr())
	replica := lockservices.Redis(t, "--replicaof", host+" "+port, "--replica-announce-ip", loopback.Host())
	await(t, "the replica follows", func() bool {
		client := newClient(replica.Addr())
		defer client.Close()
		info, err := client.InfoMap(t.Context(), "replication").Result()
		return err == nil && info["Replication"]["master_link_status"] == "up"
	})
	sentinel := startSentinel(t, primary.Addr())
	lockers := make([]*RedisLocker, 2)
	for i := range lockers {
		client := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "main", SentinelAddrs: []string{sentinel}, ContextTimeoutEnabled: true, DisableIdentity: true,
		})
		t.Cleanup(func() { client.Close() })
		lockers[i] = New(client, Options{})
		t.Cleanup(func() { lockers[i].Close(context.Background()) })
	}
	held := mustLock(t, lockers[0], "held", tusd.LockPreempt) // after Redis has settled
	primary.Stop()
	wantHeld(t, lockers[1], "held", lockers[0].TTL+2*time.Second)
	if err := held.Context().Err(); err != nil {
		t.Errorf("the holder has lost its lease: %v", context.Cause(held.Context()))
	}
	mustUnlock(t, held)
	mustUnlock(t, mustLock(t, lockers[1], "held", tusd.LockPreempt))
}
