package limitedstore

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// count sums up what all uploads counted for when it began, while they change. An upload is
// touched when an account of it is opened: from then on it may be changed, and it counts for
// what it had at that moment. An upload that the listing shows untouched counts for what the
// listing shows. All changes since the begin are added at the end. The memory is bounded by the
// ids of the touched uploads, and 8 to 16 bytes for each other one.
type count struct {
	before  sums // of the uploads that the listing has shown
	changes sums // since the begin
	touched map[string]amounts
	listed  map[uint64]struct{} // hashes of the ids in before
	seed    maphash.Seed
	wrong   bool // ledger.wrong when the count began
}

func newCount(withOwners bool) *count {
	return &count{
		before: newSums(withOwners), changes: newSums(withOwners),
		touched: make(map[string]amounts), listed: make(map[uint64]struct{}), seed: maphash.MakeSeed(),
	}
}

func (c *count) hash(id string) uint64 { return maphash.String(c.seed, id) }

// touch records what an upload counts for before its first change. The caller holds ledger.mu.
func (c *count) touch(a *account) {
	_, touched := c.touched[a.id]
	_, listed := c.listed[c.hash(a.id)]
	if !touched && !listed {
		c.touched[a.id], a.touched = a.counted, c
	}
}

// list adds an upload that the listing shows. The caller holds ledger.mu.
func (c *count) list(id string, now amounts) {
	hash := c.hash(id)
	_, touched := c.touched[id]
	_, listed := c.listed[hash]
	if !touched && !listed {
		c.listed[hash] = struct{}{}
		c.before.add(now)
	}
}

// sum returns the sums of all uploads now.
func (c *count) sum() sums {
	for _, a := range c.touched {
		c.before.add(a)
	}
	c.before.addAll(&c.changes)
	return c.before
}

// beginCount begins a count. Only one runs at a time.
func (l *ledger) beginCount(withOwners bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune()
	l.counting = newCount(withOwners)
	l.counting.wrong, l.wrong = l.wrong, false
	for _, a := range l.accounts {
		l.counting.touch(a)
	}
}

// endCount ends a count and takes over its sums if the listing was complete. It returns by
// how many bytes reserved was too high.
func (l *ledger) endCount(began time.Time, complete bool) (excess int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counting
	l.counting = nil
	if !complete {
		l.wrong = l.wrong || c.wrong
		return 0
	}
	l.counted, l.took = began.UTC(), time.Since(began)
	exact := c.sum()
	excess = l.sums.reserved - exact.reserved
	l.sums, l.exact = exact, true
	if excess > 0 {
		l.wakeWaiters()
	}
	return excess
}

// lastCount returns when the last count began and how long it took.
func (l *ledger) lastCount() (began time.Time, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted, l.took
}

func (l *ledger) countListed(id string, now amounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counting.list(id, now)
}

// count counts all uploads. ctx ends it.
func (s *LimitedStore) count(ctx context.Context) error {
	rate := s.timing.countRate
	if !s.ledger.isExact() {
		rate = s.timing.urgentRate
	}
	if s.timing.onCount != nil {
		s.timing.onCount()
	}
	began, pace := time.Now(), &pacer{every: time.Second / time.Duration(rate)}
	first := s.ledger.usage().Reserved >= unknown/2
	s.ledger.beginCount(s.OwnerQuota > 0)
	unreadable := 0
	err := s.eachListed(ctx, tusd.ListFilter{Pace: pace.wait}, func(l *tusd.Listed) error {
		now, found, err := s.listedAmounts(ctx, l)
		if isPermanent(ctx, err) {
			if unreadable++; unreadable == 1 {
				s.log().Warn("limitedstore: an upload cannot be read, it counts for what the listing shows", "id", l.ID, "err", err)
			}
			now, found, err = shownAmounts(l), true, nil
		}
		if err == nil && found {
			s.ledger.countListed(l.ID, now)
		}
		return err
	})
	excess := s.ledger.endCount(began, err == nil)
	switch {
	case err != nil || excess == 0:
	case first: // there is nothing to compare with
		s.log().Info("limitedstore: the uploads were counted", "reserved", s.ledger.usage().Reserved)
	default:
		s.log().Info("limitedstore: the uploads were counted", "reserved", s.ledger.usage().Reserved, "correction", -excess)
	}
	if err == nil && s.isHeld() { // the side record may be another process's now
		err = s.lower(ctx)
	}
	return err
}

// eachListed calls f for each upload.
func (s *LimitedStore) eachListed(ctx context.Context, filter tusd.ListFilter, f func(*tusd.Listed) error) error {
	const page = 1000
	for cursor := ""; ; {
		uploads, next, err := s.inner.Lister.List(ctx, cursor, filter, page)
		for i := range uploads {
			if err == nil {
				err = f(&uploads[i])
			}
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil || next == "" {
			return err
		}
		cursor = next
	}
}

// listedAmounts returns what a listed upload counts for. It loads the upload if the listing
// does not tell.
func (s *LimitedStore) listedAmounts(ctx context.Context, l *tusd.Listed) (now amounts, found bool, err error) {
	switch {
	case l.Record != nil && l.Record.Offset >= 0:
		return amountsOf(l.Record), true, nil
	case l.Complete == tusd.Complete && l.Bytes >= 0 && s.OwnerQuota == 0:
		return amounts{reserved: l.Bytes, stored: l.Bytes}, true, nil
	}
	now, err = s.load(ctx, nil, l.ID)
	switch {
	case errors.Is(err, tusd.ErrBroken):
		return shownAmounts(l), true, nil
	case errors.Is(err, tusd.ErrNotFound):
		return now, false, nil
	}
	return now, err == nil, err
}

// shownAmounts returns what an upload that cannot be loaded counts for.
func shownAmounts(l *tusd.Listed) amounts {
	n := max(0, l.Bytes)
	if l.Record == nil {
		return amounts{reserved: n, stored: n}
	}
	record := l.Record.Clone()
	record.Offset = n
	return amountsOf(&record)
}

// isPermanent reports whether an error of loading an upload is one of the upload, and not of the
// network or of ctx.
func isPermanent(ctx context.Context, err error) bool {
	var transient *tusd.Error
	var network net.Error
	return err != nil && ctx.Err() == nil && !(errors.As(err, &transient) && transient.Transient) && !errors.As(err, &network) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// pacer limits how often something is done. Safe for concurrent use.
type pacer struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// wait waits until the next one may be done. It sleeps for some at once.
func (p *pacer) wait(ctx context.Context) error {
	const ahead = 10 * time.Millisecond
	if early := p.take(); early >= ahead {
		return sleep(ctx, early)
	}
	return nil
}

// take returns how long before its time the next one is.
func (p *pacer) take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.next = p.next.Add(p.every); p.next.Before(now) {
		p.next = now
	}
	return p.next.Sub(now)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
