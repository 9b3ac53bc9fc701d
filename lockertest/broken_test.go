package lockertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tbrecord"
)

// localHarness returns the harness of a locker within this process.
func localHarness(create func() tusd.Locker) Harness {
	return Harness{
		New: func(_ testing.TB, n int) []tusd.Locker {
			lockers := make([]tusd.Locker, n)
			shared := create()
			for i := range lockers {
				lockers[i] = shared
			}
			return lockers
		},
		Scope:   tusd.ScopeProcess,
		Timeout: 300 * time.Millisecond,
	}
}

func caseNamed(t *testing.T, h Harness, name string) testCase {
	for _, c := range suite(h) {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case is called %s", name)
	return testCase{}
}

// wantFound checks that a named case fails and names its rule.
func wantFound(t *testing.T, h Harness, name string) {
	t.Helper()
	c := caseNamed(t, h, name)
	failed, log := tbrecord.Run(t, func(tb testing.TB) { runCase(tb, h, c) })
	if !failed {
		t.Errorf("case %s passes", name)
	}
	if !strings.Contains(log, c.rule) {
		t.Errorf("the failure of %s does not name the rule of the contract:\n%s", name, log)
	}
}

// brokenLocker is a correct locker with a replaced Lock or changed leases.
type brokenLocker struct {
	tusd.LocalLocker
	lock  func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error)
	lease func(*brokenLease)
	// notify, if set, is AfterPreempt of the leases, which otherwise have none.
	notify func(lease tusd.PreemptNotifier, f func())
}

func (l *brokenLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	lock := (*tusd.LocalLocker).Lock
	if l.lock != nil {
		lock = l.lock
	}
	lease, err := lock(&l.LocalLocker, ctx, id, mode)
	if err == nil && l.notify != nil {
		return brokenNotifier{lease.(tusd.PreemptNotifier), l.notify}, nil
	}
	if err != nil || l.lease == nil {
		return lease, err
	}
	b := &brokenLease{Lease: lease, locker: &l.LocalLocker, id: id, lockCtx: ctx, ctx: lease.Context(), preempted: lease.Preempted(), unlock: lease.Unlock}
	b.n, b.before = lease.Fence()
	l.lease(b)
	return b, nil
}

// brokenLease is a correct lease with some results replaced.
type brokenLease struct {
	tusd.Lease
	locker    *tusd.LocalLocker
	id        string
	lockCtx   context.Context // the context of the call of Lock
	ctx       context.Context
	preempted <-chan struct{}
	n, before uint64
	unlock    func(context.Context) error
}

func (s *brokenLease) Context() context.Context         { return s.ctx }
func (s *brokenLease) Preempted() <-chan struct{}       { return s.preempted }
func (s *brokenLease) Fence() (n, before uint64)        { return s.n, s.before }
func (s *brokenLease) Unlock(ctx context.Context) error { return s.unlock(ctx) }

// brokenNotifier is a correct lease with another AfterPreempt.
type brokenNotifier struct {
	tusd.PreemptNotifier
	notify func(lease tusd.PreemptNotifier, f func())
}

func (s brokenNotifier) AfterPreempt(f func()) { s.notify(s.PreemptNotifier, f) }

// brokenLockers has lockers with one fault each, and the cases that find it.
var brokenLockers = []struct {
	name   string
	found  []string
	locker func() tusd.Locker
}{
	{"confuses all ids", []string{"exclusion/ids"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, _ string, mode tusd.LockMode) (tusd.Lease, error) {
			return l.Lock(ctx, "one", mode)
		}}
	}},
	{"ignores the case of ids", []string{"exclusion/ids"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			return l.Lock(ctx, strings.ToLower(id), mode)
		}}
	}},
	{"never preempts the holder", []string{"preempt/signals", "preempt/other-locker", "preempt/each-holder"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) { s.preempted = make(chan struct{}) }}
	}},
	{"preempts without a request", []string{"preempt/signals", "wait/no-preempt", "try/never-waits"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) {
			closed := make(chan struct{})
			close(closed)
			s.preempted = closed
		}}
	}},
	{"never notifies", []string{"notify/when-preempted", "notify/other-locker", "notify/replaced"}, func() tusd.Locker {
		return &brokenLocker{notify: func(tusd.PreemptNotifier, func()) {}}
	}},
	{"notifies twice", []string{"notify/when-preempted", "notify/preempted-before"}, func() tusd.Locker {
		return &brokenLocker{notify: func(lease tusd.PreemptNotifier, f func()) {
			if f != nil {
				lease.AfterPreempt(func() { f(); f() })
			}
		}}
	}},
	{"notifies only of later requests", []string{"notify/preempted-before"}, func() tusd.Locker {
		return &brokenLocker{notify: func(lease tusd.PreemptNotifier, f func()) {
			select {
			case <-lease.Preempted():
			default:
				lease.AfterPreempt(f)
			}
		}}
	}},
	{"keeps the first function", []string{"notify/replaced", "notify/preempted-before"}, func() tusd.Locker {
		var firsts sync.Map
		return &brokenLocker{notify: func(lease tusd.PreemptNotifier, f func()) {
			if _, set := firsts.LoadOrStore(lease, true); !set {
				lease.AfterPreempt(f)
			}
		}}
	}},
	{"notifies on the goroutine of the caller", []string{"notify/preempted-before-blocks"}, func() tusd.Locker {
		return &brokenLocker{notify: func(lease tusd.PreemptNotifier, f func()) {
			select {
			case <-lease.Preempted():
				f()
			default:
				lease.AfterPreempt(f)
			}
		}}
	}},
	{"makes preempters wait in order", []string{"preempt/overtakes", "preempt/newest-first"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			if mode == tusd.LockPreempt {
				mode = tusd.LockWait
			}
			return l.Lock(ctx, id, mode)
		}}
	}},
	{"lets waiters preempt", []string{"wait/no-preempt", "wait/in-order"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			if mode == tusd.LockWait {
				mode = tusd.LockPreempt
			}
			return l.Lock(ctx, id, mode)
		}}
	}},
	{"waits in LockTry", []string{"try/never-waits"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, _ tusd.LockMode) (tusd.Lease, error) {
			return l.Lock(ctx, id, tusd.LockWait)
		}}
	}},
	{"waits for ever", []string{"wait/deadline", "wait/cancelled", "wait/ended-before"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			return l.Lock(bound, id, mode)
		}}
	}},
	{"answers a deadline with ctx's error", []string{"wait/deadline"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			lease, err := l.Lock(ctx, id, mode)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return lease, err
		}}
	}},
	{"keeps a lock after an error", []string{"wait/cancelled-at-grant"}, func() tusd.Locker {
		return &brokenLocker{lock: func(l *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			lease, err := l.Lock(ctx, id, mode)
			if err != nil {
				return nil, err
			}
			select { // the delay makes the case find it each time
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(10 * time.Millisecond):
				return lease, nil
			}
		}}
	}},
	{"ends the lease with the request", []string{"context/outlives", "context/outlives-after-waiting"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) { s.ctx = s.lockCtx }}
	}},
	{"forgets the values of the context", []string{"context/outlives"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) {
			ctx, end := context.WithCancel(context.Background())
			context.AfterFunc(s.Lease.Context(), end)
			s.ctx = ctx
		}}
	}},
	{"does not end the context with Unlock", []string{"context/ends-with-unlock"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) { s.ctx = context.WithoutCancel(s.ctx) }}
	}},
	{"fails on a second Unlock", []string{"unlock/idempotent", "unlock/concurrent"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) {
			var once sync.Once
			s.unlock = func(ctx context.Context) error {
				err := error(tusd.ErrLockLost)
				once.Do(func() { err = s.Lease.Unlock(ctx) })
				return err
			}
		}}
	}},
	{"unlocks another's lock", []string{"unlock/of-another"}, func() tusd.Locker {
		var mu sync.Mutex
		holders := make(map[string]tusd.Lease)
		return &brokenLocker{lease: func(s *brokenLease) {
			mu.Lock()
			defer mu.Unlock()
			holders[s.id] = s.Lease
			s.unlock = func(ctx context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				return holders[s.id].Unlock(ctx)
			}
		}}
	}},
	{"does not unlock", []string{"unlock/idempotent", "exclusion/quick"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) {
			s.unlock = func(context.Context) error { return nil }
		}}
	}},
	{"leaves a goroutine for each lock", []string{"exclusion/lockers"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) {
			go func() { <-time.After(3 * time.Second) }()
		}}
	}},
	{"numbers grants backwards", []string{"fence/increases", "fence/handed-over"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) { s.n, s.before = 1<<60-s.n, 0 }}
	}},
	{"names a grant of another id as the one before", []string{"fence/increases"}, func() tusd.Locker {
		return &brokenLocker{lease: func(s *brokenLease) { s.before = s.n - 1 }}
	}},
	{"claims another scope", []string{"scope"}, func() tusd.Locker { return widerLocker{new(tusd.LocalLocker)} }},
}

// TestTwoHoldersAreFound tests a locker that grants every request. Its scope is not
// ScopeProcess: the suite would then use data without a mutex, and the race detector
// would fail this test.
func TestTwoHoldersAreFound(t *testing.T) {
	h := localHarness(func() tusd.Locker {
		return &brokenLocker{lock: func(_ *tusd.LocalLocker, ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
			return new(tusd.LocalLocker).Lock(ctx, id, mode)
		}}
	})
	h.Scope = tusd.ScopeMachine
	for _, name := range []string{"exclusion/goroutines", "exclusion/lockers", "exclusion/many-requests", "try/never-waits"} {
		wantFound(t, h, name)
	}
}

type widerLocker struct{ *tusd.LocalLocker }

func (widerLocker) Scope() tusd.Scope { return tusd.ScopeLease }

// TestBrokenLockersAreFound runs named cases on lockers that each violate one sentence of
// the contract.
func TestBrokenLockersAreFound(t *testing.T) {
	require.Long(t)
	for _, b := range brokenLockers {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			for _, name := range b.found {
				wantFound(t, localHarness(b.locker), name)
			}
		})
	}
}

// TestUnbrokenLockerPasses is the control: the wrapper of the broken lockers passes.
func TestUnbrokenLockerPasses(t *testing.T) {
	h := localHarness(func() tusd.Locker { return &brokenLocker{lease: func(*brokenLease) {}} })
	h.Timeout = 0
	Run(t, h)
}

// losableLocker can lose its leases.
type losableLocker struct{ tusd.LocalLocker }

func (l *losableLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	lease, err := l.LocalLocker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	s := &losableLease{Lease: lease}
	s.ctx, s.end = context.WithCancelCause(lease.Context())
	return s, nil
}

type losableLease struct {
	tusd.Lease
	ctx context.Context
	end context.CancelCauseFunc
}

func (s *losableLease) Context() context.Context { return s.ctx }

func (s *losableLease) Unlock(ctx context.Context) error {
	defer s.end(nil)
	return s.Lease.Unlock(ctx)
}

func losableHarness(cause error) Harness {
	h := localHarness(func() tusd.Locker { return new(losableLocker) })
	h.Lose = func(tb testing.TB, lease tusd.Lease) {
		s := lease.(*losableLease)
		s.end(cause)
		if err := s.Lease.Unlock(tb.Context()); err != nil { // the service can grant the lock again
			tb.Fatal(err)
		}
	}
	return h
}

func TestLosableLockerPasses(t *testing.T) {
	require.Long(t)
	h := losableHarness(tusd.ErrLockLost)
	h.Timeout = 0
	Run(t, h)
}

func TestLossWithoutCauseIsFound(t *testing.T) {
	wantFound(t, losableHarness(context.Canceled), "loss/reported")
}

func TestUnreportedLossIsFound(t *testing.T) {
	require.Long(t)
	h := losableHarness(nil)
	h.Lose = func(tb testing.TB, lease tusd.Lease) {}
	for _, name := range []string{"loss/reported", "loss/next-holder", "loss/fence"} {
		wantFound(t, h, name)
	}
}

// A partition that the locker does not notice is found.
func TestUnnoticedPartitionIsFound(t *testing.T) {
	h := losableHarness(nil)
	h.TTL = 40 * time.Millisecond
	h.Partition = func(testing.TB, tusd.Locker) (restore func()) { return func() {} }
	for _, name := range []string{"partition/holder-loses-first", "partition/lock", "partition/waiter"} {
		wantFound(t, h, name)
	}
}

// A lease that is lost as soon as one renewal fails is found.
func TestImpatientLeaseIsFound(t *testing.T) {
	h := losableHarness(tusd.ErrLockLost)
	h.TTL = 40 * time.Millisecond
	var leases []*losableLease
	h.New = func(testing.TB, int) []tusd.Locker {
		l := &rememberingLocker{leases: &leases}
		return []tusd.Locker{l, l}
	}
	h.Partition = func(testing.TB, tusd.Locker) (restore func()) {
		leases[0].end(tusd.ErrLockLost)
		return func() {}
	}
	wantFound(t, h, "partition/renewals-fail-for-a-while")
}

// rememberingLocker keeps its leases for the harness.
type rememberingLocker struct {
	losableLocker
	leases *[]*losableLease
}

func (l *rememberingLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	lease, err := l.losableLocker.Lock(ctx, id, mode)
	if err == nil {
		*l.leases = append(*l.leases, lease.(*losableLease))
	}
	return lease, err
}
