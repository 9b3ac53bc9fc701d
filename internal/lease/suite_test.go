package lease

import (
	"log/slog"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/lockertest"
)

// connect makes a process on s.
func connect(tb testing.TB, s *server, settings Settings) *process {
	p := &process{server: s}
	settings.Service, settings.TTL = "a test", s.ttl
	if settings.Logger == nil {
		settings.Logger = slog.New(slog.DiscardHandler)
	}
	p.locker = New(p, settings)
	tb.Cleanup(func() { p.locker.Close(tb.Context()) }) // releases may fail: some tests cut the network
	return p
}

const testTTL = time.Second

func TestContract(t *testing.T) {
	lockertest.Run(t, lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			s := newServer(testTTL)
			lockers := make([]tusd.Locker, n)
			for i := range lockers {
				l := connect(tb, s, Settings{PollInterval: 50 * time.Millisecond, Patience: 200 * time.Millisecond}).locker
				if err := l.use(); err != nil { // its goroutines start before the suite counts them
					tb.Fatal(err)
				}
				lockers[i] = l
			}
			return lockers
		},
		Scope: tusd.ScopeLease,
		Lose: func(_ testing.TB, l tusd.Lease) {
			s := l.(*lease)
			s.locker.service.(*process).server.take(s.request.ID)
		},
		Partition: func(_ testing.TB, l tusd.Locker) (restore func()) {
			p := l.(*Locker).service.(*process)
			p.cut()
			return func() { p.setFault(nil) }
		},
		TTL: testTTL,
	})
}
