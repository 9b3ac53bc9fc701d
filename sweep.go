package tusd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The sweeper removes uploads that no client has continued for a long time, and what is left
// in the store of removed ones.

// SweepPolicy says what Handler.Sweep removes.
type SweepPolicy struct {
	// Ages are how long after its last change an upload is removed, by its class; without
	// an age, or with 0, never. An incomplete upload that expires (Config.ExpireAfter,
	// FileInfo.Expires) is not removed before that, and without an age for its class it
	// is removed when it has expired.
	Ages map[UploadClass]time.Duration
	// DryRun removes nothing: Report tells what would be removed, also uploads that a request
	// uses at the moment.
	DryRun bool
	// Rate is how many uploads and leftovers are looked at per second; 0: 1000. A negative
	// value sets no limit.
	Rate int
	// OnlyWriter promises that no other process changes the store. Without it, if the lock
	// is one of the process, ages of less than 24 h are refused, and an upload that has
	// expired stays until 24 h after its last change: a request that another process serves
	// is seen only by what it changes in the store.
	OnlyWriter bool
	// Report is called for each upload that is removed or should have been; nil: not.
	// ReportLeftover is called for each leftover; nil: not. Both are called one at a time.
	Report         func(SweptUpload)
	ReportLeftover func(Leftover)
}

// SweptUpload is an upload that a sweep has removed, or in a dry run would remove.
type SweptUpload struct {
	Upload FileInfo
	Class  UploadClass
	Bytes  int64 // that are stored for it; -1: not known
	Err    error // why it could not be removed; it stays for the next sweep
}

// SweepSummary tells what a sweep has done.
type SweepSummary struct {
	Uploads   int   // that the inventory had and that were old enough to be looked at
	Removed   int   // uploads
	Bytes     int64 // of the removed uploads, as far as they are known
	Failed    int   // uploads and leftovers that could not be removed
	Leftovers int   // that were removed
	Kept      int   // leftovers that are only reported
}

const (
	defaultSweepRate = 1000
	// sweepPage is how many uploads are listed at a time.
	sweepPage = 1000
	// leftoverAge is how old a leftover is that may be removed.
	leftoverAge = 24 * time.Hour
	// minSharedAge is the lowest age if other processes may change the store unseen.
	minSharedAge = 24 * time.Hour
)

// Sweep removes the uploads that the policy names, and the leftovers of the store
// (Tidier). It takes the lock of an upload only if that is free, and decides again under
// it, so an upload that a request uses is never removed. Each removed upload has a
// post-expire event and a line in the log. A partial that an unfinished final needs stays,
// and so does a complete upload whose post-finish is not sent yet. Several sweeps at the
// same time, in several processes, do no harm.
//
// Errors: ErrNotImplemented, if the store has no Lister or no Terminater; ErrServerShutdown;
// ErrLockServiceUnavailable; the cause of ctx; a policy that cannot be carried out safely;
// others are of the listing.
// An upload that cannot be removed is no error of Sweep. The summary is valid with an
// error, too.
func (h *Handler) Sweep(ctx context.Context, policy SweepPolicy) (SweepSummary, error) {
	e := h.engine
	if e.store.Lister == nil || e.store.Terminater == nil || e.config.ReadOnly && !policy.DryRun {
		return SweepSummary{}, ErrNotImplemented
	}
	if err := policy.Validate(e.store.Locker.Scope()); err != nil {
		return SweepSummary{}, err
	}
	if !e.changing.Enter() {
		return SweepSummary{}, ErrServerShutdown
	}
	defer e.changing.Leave() // Shutdown closes the sink after that
	ctx, cancel := context.WithCancelCause(withLoadedOnce(ctx))
	defer cancel(nil)
	defer context.AfterFunc(e.background, func() { cancel(ErrServerShutdown) })()
	s := &sweep{e: e, policy: policy, minAge: policy.minAge(e.store.Locker.Scope()), pace: newPacer(cmp.Or(policy.Rate, defaultSweepRate))}
	err := s.run(ctx)
	e.metrics.swept(&s.summary, policy.DryRun, err)
	return s.summary, err
}

// Validate returns an error if Sweep refuses the policy with a locker of this scope.
func (p *SweepPolicy) Validate(scope Scope) error {
	for class, age := range p.Ages {
		switch {
		case class == ClassWaiting || !slices.Contains(AllClasses, class):
			return fmt.Errorf("tusd: SweepPolicy: uploads of class %q are never removed", class)
		case age < 0:
			return fmt.Errorf("tusd: SweepPolicy: the age of class %s is negative", class)
		case age > 0 && age < p.minAge(scope):
			return fmt.Errorf("tusd: SweepPolicy: an age of %v for class %s needs a lock that all processes share, or the promise OnlyWriter: at least %v are possible without", age, class, minSharedAge)
		}
	}
	return nil
}

// minAge returns the lowest age at which an upload can be removed.
func (p *SweepPolicy) minAge(scope Scope) time.Duration {
	if scope == ScopeProcess && !p.OnlyWriter {
		return minSharedAge
	}
	return 0
}

// sweep is one call of Sweep.
type sweep struct {
	e       *engine
	policy  SweepPolicy
	minAge  time.Duration // of an upload that is removed
	pace    *pacer
	summary SweepSummary
}

func (s *sweep) run(ctx context.Context) error {
	if !s.policy.DryRun {
		s.e.resumeRemovals(ctx, s.e.rescanInterval/5)
	}
	if filter := s.filter(); len(filter.Before) > 0 {
		if err := s.sweepUploads(ctx, filter); err != nil {
			return err
		}
	}
	return s.tidy(ctx)
}

// filter returns the filter that leaves out what is too young for its class.
func (s *sweep) filter() ListFilter {
	f := ListFilter{Before: make(map[UploadClass]time.Time), Pace: s.pace.wait}
	include := func(age time.Duration, classes ...UploadClass) {
		for _, class := range classes {
			if before := s.e.now().Add(-max(age, s.minAge)); before.After(f.Before[class]) {
				f.Before[class] = before
			}
		}
	}
	for class, age := range s.policy.Ages {
		if age > 0 {
			include(age, class, ClassWaiting) // to wake them
		}
	}
	if s.e.config.ExpireAfter > 0 {
		include(s.e.config.ExpireAfter, ClassNeverStarted, ClassUnfinished, ClassPartial, ClassWaiting)
	}
	if s.e.config.Callbacks.PreCreate != nil || s.e.config.Offline { // each may expire at a time of its own
		include(0, ClassNeverStarted, ClassUnfinished, ClassPartial)
	}
	return f
}

func (s *sweep) sweepUploads(ctx context.Context, filter ListFilter) error {
	cursor := ""
	for {
		page, next, err := s.e.store.Lister.List(ctx, cursor, filter, sweepPage)
		if err != nil {
			return err
		}
		for i := range page {
			s.summary.Uploads++
			if err := s.consider(ctx, &page[i]); err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// consider removes a listed upload if it is due. An error ends the sweep.
func (s *sweep) consider(ctx context.Context, listed *Listed) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	info, err := s.recordOf(ctx, listed)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return s.report(ctx, SweptUpload{Upload: FileInfo{ID: listed.ID}, Bytes: listed.Bytes, Err: err})
	case s.e.needsFinish(info):
		if !s.policy.DryRun && !s.e.config.Offline {
			s.e.finishLater(info.ID)
		}
		return nil
	case !s.isDue(info):
		return nil
	}
	swept := SweptUpload{Upload: *info, Class: info.Class(), Bytes: listed.Bytes}
	if s.policy.DryRun {
		return s.tell(ctx, swept)
	}
	return s.remove(ctx, swept)
}

// tell reports what a sweep would remove.
func (s *sweep) tell(ctx context.Context, swept SweptUpload) error {
	u := &lockedUpload{id: swept.Upload.ID, info: swept.Upload, ctx: ctx}
	err := s.e.checkPublished(u, removal{mode: LockTry})
	if err == nil {
		_, err = s.e.checkUnneeded(u)
	}
	return s.conclude(ctx, swept, err)
}

// recordOf returns the record of a listed upload, which it loads if the listing has not
// read it.
func (s *sweep) recordOf(ctx context.Context, listed *Listed) (*FileInfo, error) {
	if listed.Record != nil && listed.Record.Offset >= 0 {
		return listed.Record, nil
	}
	_, info, err := s.e.peek(ctx, listed.ID)
	return &info, err
}

// isDue reports whether the policy wants the upload removed.
func (s *sweep) isDue(info *FileInfo) bool {
	age, expires := s.policy.Ages[info.Class()], !s.e.expiresAt(info).IsZero()
	unchanged := s.e.now().Sub(info.Changed)
	switch {
	case s.e.needsFinish(info), unchanged < s.minAge:
		return false
	case age == 0:
		return s.e.isExpired(info)
	case expires && !s.e.isExpired(info):
		return false
	}
	return !info.Changed.IsZero() && unchanged >= age
}

// errNotDue ends a removal: the upload has changed since it was listed.
var errNotDue = errors.New("the upload is not due")

// remove removes an upload that was due when it was listed.
func (s *sweep) remove(ctx context.Context, swept SweptUpload) error {
	err := s.e.terminateFor(ctx, removal{
		id: swept.Upload.ID, reason: RemovedExpired, mode: LockTry,
		decide: func(u *lockedUpload) (HTTPResponse, error) {
			if u.upload == nil || !s.isDue(&u.info) { // a broken record may be of a request that begins or ends
				return HTTPResponse{}, errNotDue
			}
			swept.Upload, swept.Class = u.info, u.info.Class()
			return HTTPResponse{}, nil
		},
		confirm: s.confirm,
	})
	return s.conclude(ctx, swept, err)
}

// confirm loads an upload again after the side record of its removal is stored, if another
// process may change the upload under a lock of its own: either its request sees the side record
// (makeVisible), or the upload has changed here.
func (s *sweep) confirm(u *lockedUpload) error {
	if s.minAge == 0 {
		return nil
	}
	_, info, err := s.e.load(u.ctx, u.id)
	if err == nil && !s.isDue(&info) {
		err = errNotDue
	}
	return err
}

// conclude reports what has become of an upload that is due.
func (s *sweep) conclude(ctx context.Context, swept SweptUpload, err error) error {
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrServerShutdown), errors.Is(err, ErrLockServiceUnavailable):
		return err
	case errors.Is(err, ErrNotFound), errors.Is(err, errNotDue), errors.Is(err, ErrUploadLocked), errors.Is(err, ErrPartialInUse), errors.Is(err, ErrUploadFinishing):
		return nil // it is gone, or in use
	}
	swept.Err = err
	return s.report(ctx, swept)
}

// report counts and logs a removal, or an attempt.
func (s *sweep) report(ctx context.Context, swept SweptUpload) error {
	attrs := []any{"id", swept.Upload.ID, "class", string(swept.Class), "changed", swept.Upload.Changed, "bytes", swept.Bytes}
	switch {
	case swept.Err != nil:
		s.summary.Failed++
		s.e.log.Error("an upload could not be swept", append(attrs, "err", swept.Err)...)
	case s.policy.DryRun:
		s.summary.Removed++
	default:
		s.summary.Removed++
		s.e.log.Info("an upload was swept", attrs...)
	}
	if swept.Err == nil {
		s.summary.Bytes += max(0, swept.Bytes)
	}
	if s.policy.Report != nil {
		swept.Upload = swept.Upload.Clone()
		s.policy.Report(swept)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// tidy removes the leftovers of the store.
func (s *sweep) tidy(ctx context.Context) error {
	if s.e.store.Tidier == nil {
		return nil
	}
	return s.e.store.Tidier.Tidy(ctx, Tidying{
		Before: s.e.now().Add(-leftoverAge),
		DryRun: s.policy.DryRun,
		Lock: func(ctx context.Context, id string) (Lease, error) {
			return s.e.acquireLease(ctx, id, LockTry, s.e.config.AcquireLockTimeout)
		},
		Pace:   s.pace.wait,
		Report: s.reportLeftover,
	})
}

func (s *sweep) reportLeftover(l Leftover) {
	attrs := []any{"kind", string(l.Kind), "name", l.Name, "bytes", l.Bytes, "changed", l.Changed}
	switch {
	case l.Err != nil && !l.Removed:
		s.summary.Kept++
		s.e.log.Warn("a leftover stays", append(attrs, "err", l.Err)...)
	case !l.Removed:
		s.summary.Kept++
	case s.policy.DryRun:
		s.summary.Leftovers++
	default:
		s.summary.Leftovers++
		s.e.log.Info("a leftover was removed", attrs...)
	}
	if s.policy.ReportLeftover != nil {
		s.policy.ReportLeftover(l)
	}
}
