package protocoltest

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// The lock ends a body whether or not its leases are tusd.PreemptNotifiers, over both
// protocols.
func TestLockEndsBody(t *testing.T) {
	for name, notifies := range map[string]bool{"notifies": true, "does not notify": false} {
		t.Run(name, func(t *testing.T) {
			test := func(check func(e *env, locker *losableLocker)) func(*env) {
				return func(e *env) {
					locker := &losableLocker{notifies: notifies}
					e.config.StoreComposer.UseLocker(locker)
					check(e, locker)
				}
			}
			runOn(t, memoryStore, protocols, []scenario{
				{"lost", "a lost lease ends the PATCH with 423 ERR_LOCK_LOST within 100 ms", test(lostLeaseEndsBody)},
				{"preempted", "a HEAD ends the PATCH within 100 ms, its bytes are kept", test(preemptionEndsBody)},
			})
		})
	}
}

// losableLocker has leases that lose ends.
type losableLocker struct {
	tusd.LocalLocker
	notifies bool

	mu     sync.Mutex
	newest context.CancelCauseFunc // loses the newest lease
}

func (*losableLocker) Scope() tusd.Scope { return tusd.ScopeLease }

func (l *losableLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	local, err := l.LocalLocker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	s := losableLease{Lease: local}
	var lose context.CancelCauseFunc
	s.ctx, lose = context.WithCancelCause(local.Context())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = lose
	if l.notifies {
		return notifyingLease{s}, nil
	}
	return s, nil
}

func (l *losableLocker) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest(tusd.ErrLockLost)
}

type losableLease struct {
	tusd.Lease
	ctx context.Context
}

func (s losableLease) Context() context.Context { return s.ctx }

type notifyingLease struct{ losableLease }

func (s notifyingLease) AfterPreempt(f func()) { s.Lease.(tusd.PreemptNotifier).AfterPreempt(f) }

func lostLeaseEndsBody(e *env, locker *losableLocker) {
	soonAtBest(e, func() time.Duration {
		u := e.create(100)
		s := e.another().open(u, 0, 100)
		s.sendAndSee(content(30))
		start := time.Now()
		locker.lose()
		s.answer().status(423).code("ERR_LOCK_LOST")
		return time.Since(start)
	})
}

func preemptionEndsBody(e *env, _ *losableLocker) {
	preempted(e, func(u string) { e.wantOffset(u, 30) })
}

// soonAtBest checks that the fastest of some attempts took at most soon: the machine may be
// busy.
func soonAtBest(e *env, attempt func() (took time.Duration)) {
	e.Helper()
	var took time.Duration
	for range 5 {
		if took = attempt(); took <= soon {
			return
		}
	}
	e.Errorf("it took %v, want at most %v", took, soon)
}

// A slow upload has one goroutine of the handler: that of its request.
func TestSlowUploadHasOneGoroutine(t *testing.T) {
	const uploads = 20
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	var slow []*openRequest
	for range uploads {
		s := e.another().open(e.create(100), 0, 100)
		s.sendAndSee([]byte("a"))
		slow = append(slow, s)
	}
	<-time.After(50 * time.Millisecond) // a goroutine may be started with a delay
	e.eventually("each upload has one goroutine", func() bool {
		stacks := make([]byte, 1<<22)
		all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
		handler := 0
		for _, stack := range all {
			if strings.Contains(stack, "github.com/tus/tusd.") && !strings.Contains(stack, "internal/background.") {
				handler++
			}
		}
		return handler == uploads
	})
	for _, s := range slow {
		s.send(content(99))
		s.end()
		s.answer().status(204)
	}
}
