package limitedstore

import (
	"crypto/sha256"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// owner is the hash of FileInfo.Owner, so that the memory for an owner does not depend on its
// name. The zero value is no owner.
type owner [16]byte

func ownerOf(name string) owner {
	if name == "" {
		return owner{}
	}
	sum := sha256.Sum256([]byte(name))
	return owner(sum[:len(owner{})])
}

// amounts are what one upload counts for.
type amounts struct {
	reserved, stored int64 // bytes
	owner            owner
}

// amountsOf returns what the upload counts for.
func amountsOf(info *tusd.FileInfo) amounts {
	a := amounts{reserved: info.Offset, stored: info.Offset, owner: ownerOf(info.Owner)}
	switch {
	case info.State == tusd.StateFailed || info.Complete():
	case !info.SizeIsDeferred:
		a.reserved = max(a.reserved, info.Size)
	case info.KnownLength != nil:
		a.reserved = max(a.reserved, *info.KnownLength)
	}
	return a
}

// sums are the amounts of all uploads.
type sums struct {
	reserved, stored int64
	owners           map[owner]int64 // reserved bytes; nil: they are not summed up
}

func newSums(withOwners bool) (s sums) {
	if withOwners {
		s.owners = make(map[owner]int64)
	}
	return s
}

func (s *sums) add(a amounts) {
	s.reserved += a.reserved
	s.stored += a.stored
	s.addOwner(a.owner, a.reserved)
}

func (s *sums) subtract(a amounts) {
	s.add(amounts{-a.reserved, -a.stored, a.owner})
}

func (s *sums) addOwner(o owner, n int64) {
	if s.owners == nil || o == (owner{}) || n == 0 {
		return
	}
	if s.owners[o] += n; s.owners[o] == 0 {
		delete(s.owners, o)
	}
}

func (s *sums) addAll(other *sums) {
	s.reserved += other.reserved
	s.stored += other.stored
	for o, n := range other.owners {
		s.addOwner(o, n)
	}
}

// unknown is the upper bound of a sum of which nothing is known.
const unknown = math.MaxInt64 / 4

// ledger has the sums. Its methods only compute: they call no store, and hold mu only for
// themselves.
type ledger struct {
	limit      int64 // of reserved
	ownerQuota int64 // 0: none

	mu       sync.Mutex
	sums     sums
	exact    bool  // if not, sums.reserved is an upper bound, and owners has changes only
	atMost   int64 // reserved is at most that; it is in the side record
	accounts map[string]*account
	pruneAt  int           // number of accounts at which those that are not needed are dropped
	counted  time.Time     // when the last count began
	took     time.Duration // the last count
	counting *count        // nil: the uploads are not being counted
	doubtful int           // accounts with doubtful set
	wrong    bool          // an upload was removed of which it is not known what it counted for
	eviction *evictionRun  // nil: none runs
	freed    chan struct{} // closed when reserved becomes less; nil: no request waits
}

// account has what an upload counts for in the sums, while the upload may be changed: as long
// as the lease of its last load is held, a call changes it, or it is doubtful.
type account struct {
	id       string
	lease    tusd.Lease // of the last load
	counted  amounts
	calls    int    // that change the upload now
	doubtful bool   // a change has failed, so that the upload may have less than counted
	touched  *count // in which this account was the first one of the upload
}

func (a *account) isNeeded() bool {
	return a.calls > 0 || a.doubtful || a.lease.Context().Err() == nil
}

const minPrune = 64

// load returns the account of an upload that was loaded with lease, and corrects what it
// counts for. The caller holds lease.
func (l *ledger) load(lease tusd.Lease, id string, now amounts) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a == nil {
		return l.open(lease, id, now)
	}
	a.lease = lease
	l.correct(a, now)
	return a
}

// notLoaded corrects the sums for an upload whose load under its lease has failed.
func (l *ledger) notLoaded(id string, err error) {
	switch {
	case errors.Is(err, tusd.ErrBroken): // also ErrNotFound
		l.broken(id)
	case errors.Is(err, tusd.ErrNotFound):
		l.gone(id)
	}
}

// gone corrects the sums for an upload that a load under its lease did not find.
func (l *ledger) gone(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[id]; a != nil && a.calls == 0 {
		l.correct(a, amounts{owner: a.counted.owner})
	}
}

// find returns the account of an upload, or nil.
func (l *ledger) find(lease tusd.Lease, id string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a != nil {
		a.lease = lease
	}
	return a
}

// create returns the account of an upload that is going to be created. isNew is false if it had
// one before.
func (l *ledger) create(lease tusd.Lease, id string, o owner) (a *account, isNew bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a = l.accounts[id]
	if a == nil {
		return l.open(lease, id, amounts{owner: o}), true
	}
	a.lease = lease
	if a.counted.reserved == 0 && a.counted.stored == 0 { // it was removed
		a.counted.owner = o
	}
	return a, false
}

// open adds an account for an upload that counts for that much. The caller holds l.mu.
func (l *ledger) open(lease tusd.Lease, id string, counted amounts) *account {
	if len(l.accounts) >= l.pruneAt {
		l.prune()
	}
	a := &account{id: id, lease: lease, counted: counted}
	l.accounts[id] = a
	if l.counting != nil {
		l.counting.touch(a)
	}
	return a
}

// prune drops the accounts that are not needed. The caller holds l.mu.
func (l *ledger) prune() {
	for id, a := range l.accounts {
		if !a.isNeeded() {
			delete(l.accounts, id)
		}
	}
	l.pruneAt = max(minPrune, 2*len(l.accounts))
}

// discover ends the account of an upload that was to be created and turned out to exist. It
// counts for now, or, if known is false, the sums are wrong.
func (l *ledger) discover(a *account, now amounts, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(a)
	if l.counting != nil && a.touched == l.counting {
		l.counting.before.add(now)
	}
	l.wrong = l.wrong || !known
}

// broken drops the account of an upload whose record cannot be read: what it counts for now, a
// count finds out.
func (l *ledger) broken(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[id]; a != nil && a.calls == 0 {
		l.drop(a)
		l.wrong = true
	}
}

// drop drops an account. The caller holds l.mu.
func (l *ledger) drop(a *account) {
	l.setDoubtful(a, false)
	delete(l.accounts, a.id)
}

// begin registers a call that changes the upload. It returns an error if the lease has ended.
func (l *ledger) begin(a *account, check func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := check(); err != nil {
		return err
	}
	a.calls++
	return nil
}

// end ends a call that has changed the upload under lease, and that counts for now afterwards.
// known is false if that is not known. Nor is it if the lease was lost: another holder may have
// changed the upload since.
func (l *ledger) end(a *account, lease tusd.Lease, now amounts, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.calls--
	if known && lease.Context().Err() == nil {
		l.correct(a, now)
		return
	}
	if l.accounts[a.id] == a {
		l.setDoubtful(a, true)
	} else { // it was dropped: no load would correct it
		l.wrong = true
	}
	l.set(a, amounts{a.counted.reserved, max(a.counted.stored, now.stored), a.counted.owner})
}

// correct sets what an upload counts for, which is known. The caller holds l.mu.
func (l *ledger) correct(a *account, now amounts) {
	l.setDoubtful(a, false)
	l.set(a, now)
}

func (l *ledger) setDoubtful(a *account, doubtful bool) {
	switch {
	case doubtful && !a.doubtful:
		l.doubtful++
	case a.doubtful && !doubtful:
		l.doubtful--
	}
	a.doubtful = doubtful
}

// set sets what an upload counts for. The caller holds l.mu.
func (l *ledger) set(a *account, now amounts) {
	if now == a.counted {
		return
	}
	before := l.sums.reserved
	for _, s := range l.allSums() {
		s.subtract(a.counted)
		s.add(now)
	}
	a.counted = now
	if l.sums.reserved < before {
		l.wakeWaiters()
	}
	if l.sums.reserved < 0 || l.sums.stored < 0 { // uploads came that were not counted
		l.wrong = true
	}
}

// allSums returns what a change is added to.
func (l *ledger) allSums() []*sums {
	if l.counting == nil {
		return []*sums{&l.sums}
	}
	return []*sums{&l.sums, &l.counting.changes}
}

func (l *ledger) wakeWaiters() {
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
}

// whenFreed returns a channel that is closed when reserved becomes less than now.
func (l *ledger) whenFreed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed == nil {
		l.freed = make(chan struct{})
	}
	return l.freed
}

// reservation is the result of take.
type reservation int

const (
	reserved reservation = iota
	unraised             // the side record has to have a higher bound first
	noSpace
	noQuota
)

// take reserves up to n more bytes for an upload, and at least the lowest number, which is positive. If it
// succeeds, run has to make less room, unless it is nil.
func (l *ledger) take(a *account, run *evictionRun, n, lowest int64) (taken int64, result reservation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	quota, free := l.ownerFree(a.counted.owner), l.limit-l.sums.reserved
	switch {
	case quota < lowest: // before noSpace, for which others would be removed in vain
		return 0, noQuota
	case free < lowest:
		return 0, noSpace
	}
	if n = min(n, quota, free); n > l.atMost-l.sums.reserved {
		return 0, unraised
	}
	now := a.counted
	now.reserved += n
	l.set(a, now)
	if run != nil {
		run.satisfy(n)
	}
	if l.eviction != nil && n >= l.eviction.later {
		l.eviction.later = 0 // the client has come again, or another one has taken its room
	}
	return n, reserved
}

// ownerFree returns how much an owner may still reserve. The caller holds l.mu.
func (l *ledger) ownerFree(o owner) int64 {
	switch {
	case l.ownerQuota == 0 || o == (owner{}):
		return unknown
	case !l.exact: // the owner has no more than all together
		return l.ownerQuota - l.sums.reserved
	}
	return l.ownerQuota - l.sums.owners[o]
}

// current returns what an upload counts for.
func (l *ledger) current(a *account) amounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.counted
}

// free returns how many bytes are not reserved.
func (l *ledger) free() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit - l.sums.reserved
}

func (l *ledger) isExact() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.exact
}

// setWrong records that the sums are too high until the uploads are counted again.
func (l *ledger) setWrong() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = true
}

func (l *ledger) usage() tusd.SpaceUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := tusd.SpaceUsage{Limit: l.limit, Stored: max(0, l.sums.stored), Reserved: l.sums.reserved, Exact: l.exact && l.doubtful == 0}
	if u.Reserved >= unknown/2 {
		u.Reserved = l.limit
	}
	if l.exact {
		u.Owners = len(l.sums.owners)
	}
	return u
}

func (l *ledger) ownerUsage(o owner) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.exact {
		return 0
	}
	return l.sums.owners[o]
}
