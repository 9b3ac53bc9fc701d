//go:build linux

package etcdlocker

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/lockservices"
)

// messages returns how many messages etcd has received from its clients.
func messages(tb testing.TB, etcd *lockservices.Server) (n int) {
	tb.Helper()
	answer, err := http.Get(etcd.URL() + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "grpc_server_msg_received_total{") {
			count, err := strconv.ParseFloat(value, 64)
			if err != nil {
				tb.Fatal(err)
			}
			n += int(count)
		}
	}
	if n == 0 {
		tb.Fatal("etcd counts no messages")
	}
	return n
}

// A restart of etcd loses no lease that is renewed in time. Numbers grow over a restart, and
// over the loss of all data.
func TestRestart(t *testing.T) {
	etcd := lockservices.Etcd(t)
	a := joinFor(t, etcd, newPrefix(), time.Minute)
	held := mustLock(t, a, "held")
	first := mustLock(t, a, "a")
	unlock(t, first)
	n, _ := first.Fence()

	etcd.Restart()
	renewed := func(since time.Time) bool {
		x := a.service.present()
		if x == nil {
			return false
		}
		_, at := x.leases()
		return at.After(since)
	}
	started := time.Now()
	eventually(t, "a renewal after the restart", func() bool { return renewed(started) })
	second := mustLock(t, a, "a")
	unlock(t, second)
	m, before := second.Fence()
	if m <= n || before != n {
		t.Errorf("grant %d (before: %d) follows grant %d", m, before, n)
	}
	if err := held.Context().Err(); err != nil {
		t.Errorf("a lease is lost by the restart: %v", err)
	}

	etcd.Stop()
	etcd.Wipe()
	etcd.Start()
	wantLost(t, held)
	unlock(t, held)
	third := mustLock(t, a, "a")
	unlock(t, third)
	if k, before := third.Fence(); k <= m || before != 0 {
		t.Errorf("after the loss of all data, grant %d (before: %d) follows grant %d", k, before, m)
	}
}

// A user with a password has rights below the prefix only. The client is made when etcd is
// there.
func TestUser(t *testing.T) {
	etcd := lockservices.Etcd(t)
	admin := join(t, etcd, "admin").dialer.client
	ctx := context.Background()
	for _, command := range []func() error{
		func() error { _, err := admin.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.RoleAdd(ctx, "uploads"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "uploads", "mine/", "mine0", 2) // read and write
			return err
		},
		func() error { _, err := admin.UserAdd(ctx, "tusd", "password"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "tusd", "uploads"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := command(); err != nil {
			t.Fatal(err)
		}
	}
	l, d := open(etcd.Addr(), "mine", testTTL)
	d.config.Username, d.config.Password = "tusd", "password"
	etcd.Stop()
	if s, err := l.Lock(ctx, "a", 0); err == nil {
		t.Error("a lock without etcd")
		unlock(t, s)
	}
	etcd.Start()
	held := mustLock(t, l, "a")
	_, renewed := l.service.present().leases()
	eventually(t, "a renewal", func() bool {
		_, at := l.service.present().leases()
		return at.After(renewed)
	})
	unlock(t, held)
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	other, d := open(etcd.Addr(), "others", testTTL)
	d.config.Username, d.config.Password = "tusd", "password"
	if s, err := other.Lock(ctx, "a", 0); err == nil {
		t.Error("a lock below another prefix")
		unlock(t, s)
	}
	other.Close(ctx)
}
