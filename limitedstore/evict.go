package limitedstore

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// maxCandidates is how many uploads one listing chooses for removal.
const maxCandidates = 1000

// evictFunc is tusd.Env.Evict.
type evictFunc func(ctx context.Context, id string, allow func(tusd.FileInfo) bool) error

// evictor removes uploads while requests wait for room. One goroutine does that for all of
// them, as long as it is needed.
type evictor struct {
	store  *LimitedStore
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	// of the goroutine of the running run
	candidates []candidate // the best one at the end
	removable  int64       // bytes of all candidates, also those that a listing has left out
	listed     time.Time
	took       time.Duration // the last listing
	resume     time.Time     // earliest next listing after one that was in vain
	complete   bool          // the candidates were all that the listing had
	tried      bool          // this run has made a listing
	progress   bool          // since then, an upload was removed
}

// candidate is an upload that may be removed.
type candidate struct {
	id      string
	changed time.Time
	bytes   int64
}

// evictionRun is the life of the goroutine. Guarded by ledger.mu.
type evictionRun struct {
	wanted    []int64       // bytes that each of the waiting requests needs
	later     int64         // bytes that clients will want which come again, perhaps the same ones
	ended     chan struct{} // closed at the end: there was room for all, or nothing to remove
	exhausted bool          // there was nothing to remove
	possible  int64         // set at the end: for a request of more bytes nothing was removed
}

func (e *evictor) reset(s *LimitedStore) {
	ctx, cancel := context.WithCancel(context.Background())
	*e = evictor{store: s, ctx: ctx, cancel: cancel}
}

// stop ends the goroutine and waits for its end. No request may come any more.
func (e *evictor) stop() {
	e.cancel()
	e.ended.Wait()
}

// isOn reports whether the policy removes uploads.
func (e *evictor) isOn() bool { return e.store.Policy != "" && e.store.Policy != PolicyRefuse }

// request asks for room for n more bytes, for which the caller waits.
func (e *evictor) request(n int64) *evictionRun {
	l := &e.store.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	run := e.run()
	run.wanted = append(run.wanted, n)
	return run
}

// requestLater asks for room for n more bytes, for a client that is going to try again.
func (e *evictor) requestLater(n int64) {
	l := &e.store.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	run := e.run()
	run.later = max(run.later, n)
}

// withdraw ends the wait for n bytes, which no client needs any more.
func (e *evictor) withdraw(run *evictionRun, n int64) {
	l := &e.store.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	run.satisfy(n)
}

// giveUp ends the wait for n bytes. The client is going to try again.
func (e *evictor) giveUp(run *evictionRun, n int64) {
	l := &e.store.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	run.satisfy(n)
	run.later = max(run.later, n)
}

// satisfy removes one request for n bytes.
func (r *evictionRun) satisfy(n int64) {
	if i := slices.Index(r.wanted, n); i >= 0 {
		r.wanted = slices.Delete(r.wanted, i, i+1)
	}
}

// needs returns how many bytes have to be free. It leaves out requests for more than possible,
// which can be free at most: nothing is removed for them.
func (r *evictionRun) needs(possible int64) (n int64) {
	later := r.later
	if later > possible {
		later = 0
	}
	for _, one := range r.wanted {
		if one <= possible {
			n += one
		}
	}
	return max(n, later)
}

// run returns the running eviction, which it starts if there is none. The caller holds
// ledger.mu.
func (e *evictor) run() *evictionRun {
	l := &e.store.ledger
	if l.eviction == nil {
		l.eviction = &evictionRun{ended: make(chan struct{})}
		e.ended.Go(e.makeRoom)
	}
	return l.eviction
}

// endEviction ends the running eviction if there is room for all, or nothing to remove.
// removable is how many bytes the uploads have that may be removed.
func (l *ledger) endEviction(exhausted bool, removable int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := l.limit - l.sums.reserved
	if run := l.eviction; exhausted || free >= run.needs(free+removable) {
		run.exhausted, run.possible = exhausted, free+removable
		close(run.ended)
		l.eviction = nil
		return true
	}
	return false
}

// makeRoom removes candidates until there is room.
func (e *evictor) makeRoom() {
	e.tried, e.progress = false, false
	for !e.store.ledger.endEviction(false, unknown) {
		if !e.findCandidates() {
			if e.tried && !e.progress {
				e.resume = time.Now().Add(max(e.store.timing.vainPause, 20*e.took))
			}
			e.store.ledger.endEviction(true, 0)
			return
		}
		if e.store.ledger.endEviction(false, e.removable) {
			return
		}
		n := len(e.candidates)
		c := e.candidates[n-1]
		e.candidates, e.removable = e.candidates[:n-1], e.removable-c.bytes
		e.evict(c)
	}
}

// findCandidates makes a listing if there are no candidates, or only old ones. It returns false if
// there is nothing to remove.
func (e *evictor) findCandidates() bool {
	if len(e.candidates) == 0 && !e.mayList() {
		return false
	}
	if len(e.candidates) == 0 || time.Since(e.listed) > e.store.timing.listAge {
		e.tried, e.progress = true, false
		began := time.Now()
		err := e.list()
		if e.took = time.Since(began); err != nil {
			if e.ctx.Err() == nil {
				e.store.log().Error("limitedstore: cannot list uploads to make room", "err", err)
			}
			return false
		}
	}
	return len(e.candidates) > 0 && e.ctx.Err() == nil
}

// mayList reports whether another listing may find candidates that the last one did not have.
func (e *evictor) mayList() bool {
	if e.tried {
		return e.progress && !e.complete
	}
	return time.Now().After(e.resume) && (!e.complete || time.Since(e.listed) > e.store.timing.poll)
}

// list finds the best candidates. It keeps at most maxCandidates in memory.
func (e *evictor) list() error {
	s, best, all, removable := e.store, bestCandidates{policy: e.store.Policy}, 0, int64(0)
	pace := &pacer{every: time.Second / time.Duration(s.timing.urgentRate)}
	err := s.eachListed(e.ctx, e.filter(pace), func(l *tusd.Listed) error {
		if l.Complete == tusd.Complete && s.Policy == PolicyUnfinished {
			return nil
		}
		c := candidate{l.ID, l.Changed, max(0, l.Bytes)}
		if l.Record != nil {
			c.bytes = max(c.bytes, amountsOf(l.Record).reserved)
		}
		if c.bytes > 0 {
			all++
			removable += c.bytes
			best.offer(c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.candidates, e.removable, e.listed, e.complete = nil, removable, time.Now(), all <= maxCandidates
	for best.Len() > 0 {
		e.candidates = append(e.candidates, heap.Pop(&best).(candidate)) // the worst first
	}
	return nil
}

// filter leaves out what the policy does not remove.
func (e *evictor) filter(pace *pacer) tusd.ListFilter {
	f := tusd.ListFilter{Pace: pace.wait, Before: make(map[tusd.UploadClass]time.Time)}
	future := time.Now().Add(24 * time.Hour)
	for _, class := range tusd.AllClasses {
		if class != tusd.ClassWaiting && (class != tusd.ClassComplete || e.store.Policy != PolicyUnfinished) {
			f.Before[class] = future
		}
	}
	return f
}

// evict removes a candidate, if it is still one.
func (e *evictor) evict(c candidate) {
	s := e.store
	if !s.isHeld() {
		return
	}
	err := s.evict(e.ctx, c.id, func(info tusd.FileInfo) bool { return e.allows(c, &info) })
	switch {
	case err == nil:
		e.progress = true
		s.evicted.Add(1)
		s.log().Info("limitedstore: an upload was removed to make room", "id", c.id, "bytes", c.bytes, "changed", c.changed, "policy", string(s.Policy))
	case errors.Is(err, tusd.ErrNotFound), errors.Is(err, tusd.ErrUploadLocked), errors.Is(err, tusd.ErrPartialInUse),
		errors.Is(err, tusd.ErrUploadFinishing), e.ctx.Err() != nil:
	case errors.Is(err, tusd.ErrServerShutdown):
		e.cancel()
	case errors.Is(err, tusd.ErrLockServiceUnavailable): // so would the others, without a line for each
		e.candidates, e.removable, e.complete = nil, 0, true
	default:
		s.log().Warn("limitedstore: an upload could not be removed to make room", "id", c.id, "err", err)
	}
}

// allows reports whether the policy removes the upload. Its lock is held.
func (e *evictor) allows(c candidate, info *tusd.FileInfo) bool {
	switch {
	case info.Class() == tusd.ClassWaiting:
		return false
	case e.store.Policy == PolicyBiggest:
		return true
	case e.store.Policy == PolicyUnfinished && info.Complete():
		return false
	}
	return info.Changed.IsZero() || !info.Changed.After(c.changed.Add(e.store.timing.sameChange))
}

// waitForRoom reserves n more bytes for the upload when others were removed. If there is no
// room in time, it returns the error of take, and the removal goes on.
func (c *change) waitForRoom(n int64) error {
	s := c.store
	timer := time.NewTimer(s.timing.roomWait)
	defer timer.Stop()
	for run := s.evictor.request(n); ; {
		freed := s.ledger.whenFreed()
		_, err := c.takeFor(run, n, n)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errFull) {
			s.evictor.withdraw(run, n)
			return err
		}
		select {
		case <-freed:
		case <-run.ended:
			if run.exhausted || n > run.possible {
				return err
			}
			run = s.evictor.request(n) // another request was faster
		case <-timer.C:
			s.evictor.giveUp(run, n)
			return err
		case <-c.ctx.Done():
			s.evictor.giveUp(run, n)
			return context.Cause(c.ctx)
		}
	}
}

// bestCandidates is a heap of the best candidates, with the worst of them at the top.
type bestCandidates struct {
	policy Policy
	list   []candidate
}

func (b *bestCandidates) Len() int           { return len(b.list) }
func (b *bestCandidates) Less(i, j int) bool { return b.compare(b.list[i], b.list[j]) > 0 }
func (b *bestCandidates) Swap(i, j int)      { b.list[i], b.list[j] = b.list[j], b.list[i] }
func (b *bestCandidates) Push(c any)         { b.list = append(b.list, c.(candidate)) }
func (b *bestCandidates) Pop() any {
	last := b.list[len(b.list)-1]
	b.list = b.list[:len(b.list)-1]
	return last
}

// compare is negative if a is removed before b.
func (b *bestCandidates) compare(a, c candidate) int {
	if b.policy == PolicyBiggest {
		return cmp.Or(cmp.Compare(c.bytes, a.bytes), a.changed.Compare(c.changed))
	}
	return cmp.Or(a.changed.Compare(c.changed), cmp.Compare(c.bytes, a.bytes))
}

// offer adds a candidate, and drops the worst one if there are too many.
func (b *bestCandidates) offer(c candidate) {
	heap.Push(b, c)
	if b.Len() > maxCandidates {
		heap.Pop(b)
	}
}
