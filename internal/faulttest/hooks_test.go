//go:build linux

package faulttest

import (
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// TestKillWithHooks kills the daemon under load many times, while the endpoint of its hooks fails
// a third of the calls. At the end that has all events of each upload, in order, and no others.
func TestKillWithHooks(t *testing.T) {
	t.Parallel()
	k := hookKill{events: "post-create,post-receive,post-finish,post-terminate", uploads: 300, kills: 5}
	if require.Thorough() {
		k.uploads, k.kills = 10_000, 30
	}
	k.run(t)
}

// TestKillWithPreFinish does the same with pre-finish, which fails often: no answer says that an
// upload is complete before its pre-finish has succeeded.
func TestKillWithPreFinish(t *testing.T) {
	t.Parallel()
	k := hookKill{events: "pre-finish,post-create,post-finish,post-terminate", attempts: "2", uploads: 60, kills: 3}
	if require.Thorough() {
		k.uploads, k.kills = 600, 10
	}
	k.run(t)
}

// hookKill kills daemons with hooks while clients upload.
type hookKill struct {
	events   string // that the endpoint gets
	attempts string // to send one before the daemon waits for longer; "": the default
	uploads  int64  // how many the clients make
	kills    int64  // during that
}

// deliveryLimit bounds the time until all events are delivered, after the load.
const deliveryLimit = time.Minute

func (k hookKill) run(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d uploads, %d kills", seed, k.uploads, k.kills)
	address := loopback.Address()
	s := &hookedDaemon{T: t, launch: k.launch(t, address), endpoint: eventcheck.New(seed)}
	load := &hookLoad{address: address, seed: seed, workers: 24, total: k.uploads}
	if k.asks() {
		load.agreed = s.endpoint.Agreed
	}
	s.start()
	ended := make(chan error, 1)
	go func() { ended <- load.run() }()
	for kill := range k.kills {
		for load.begun.Load() < k.uploads*(kill+1)/(k.kills+1) {
			time.Sleep(time.Millisecond)
		}
		s.restart()
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, s.daemon.Output())
	}
	s.restart() // what was in memory is found in the store
	if err := s.launch.AwaitDelivered(deliveryLimit); err != nil {
		t.Fatalf("%v\n%s", err, s.daemon.Output())
	}
	if err := s.launch.AddStored(load.uploads); err != nil {
		t.Error(err)
	}
	if err := s.daemon.Stop(); err != nil {
		t.Error(err)
	}
	s.stop()
	t.Logf("%d uploads, %s", len(load.uploads), s.endpoint)
	if err := s.endpoint.Check(load.uploads, k.asks()); err != nil {
		t.Error(err)
	}
}

// launch returns how to start the daemon, except for the endpoint.
func (k hookKill) launch(t *testing.T, address string) Launch {
	host, port, _ := net.SplitHostPort(address)
	l := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{
		"-host", host, "-port", port, "-hooks-enabled-events", k.events, "-hooks-http-backoff", "20ms", "-progress-hooks-interval", "20ms",
	}}
	if k.attempts != "" {
		l.Flags = append(l.Flags, "-hooks-http-retry", k.attempts)
	}
	return l
}

// asks reports whether there is a pre-finish.
func (k hookKill) asks() bool { return strings.HasPrefix(k.events, "pre-finish,") }

// hookedDaemon is a daemon with an endpoint for its hooks. It may be started many times.
type hookedDaemon struct {
	*testing.T
	launch   Launch // without the URL of the endpoint
	endpoint *eventcheck.Endpoint

	daemon *Daemon
	stop   func() // ends the calls of this daemon
}

func (s *hookedDaemon) start() {
	s.Helper()
	url, stop := s.endpoint.Serve()
	s.Cleanup(stop)
	s.stop = stop
	launch := s.launch
	launch.Flags = append(launch.Flags[:len(launch.Flags):len(launch.Flags)], "-hooks-http", url)
	s.daemon = Start(s.T, launch)
}

// restart kills the daemon, waits until none of its calls can come any more, and starts another one.
func (s *hookedDaemon) restart() {
	s.Helper()
	s.daemon.Kill()
	s.stop()
	s.start()
}
