package tusd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Finals that wait for partials. The record of a partial names its waiting finals and
// is rewritten for each of them, so their number is limited.

const (
	// maxWaitingFinals is how many unfinished finals may wait for one partial.
	maxWaitingFinals = 16
	// maxRecordedFinals is how many finals the record of a partial names at most. There
	// may be more than maxWaitingFinals: several servers may accept finals
	// concurrently, and a final is also added if the copy of its full partials failed.
	maxRecordedFinals = 4 * maxWaitingFinals
)

// pendingRegistrations are the finals that the records of their partials may not name
// yet. The zero value is ready to use.
type pendingRegistrations struct {
	mu       sync.Mutex
	requests map[string]int      // requests for finals that do not exist yet, by the id of the partial
	finals   map[string][]string // by the id of the partial
	partials map[string][]string // the inverse, by the id of the final
}

// beginRequest counts a request for a final of these partials. The caller calls
// endRequest when it is answered.
func (p *pendingRegistrations) beginRequest(partials []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.requests == nil {
		p.requests = make(map[string]int)
	}
	for _, id := range partials {
		p.requests[id]++
	}
}

func (p *pendingRegistrations) endRequest(partials []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range partials {
		if p.requests[id]--; p.requests[id] == 0 {
			delete(p.requests, id)
		}
	}
}

func (p *pendingRegistrations) add(final string, partials ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finals == nil {
		p.finals, p.partials = make(map[string][]string), make(map[string][]string)
	}
	for _, partial := range partials {
		if !slices.Contains(p.finals[partial], final) {
			p.finals[partial] = append(p.finals[partial], final)
			p.partials[final] = append(p.partials[final], partial)
		}
	}
}

// of returns the finals that wait for a partial, and the number of requests that are
// creating another one.
func (p *pendingRegistrations) of(partial string) (finals []string, requests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.finals[partial]), p.requests[partial]
}

// partialsOf returns the partials with which a final is registered.
func (p *pendingRegistrations) partialsOf(final string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.partials[final])
}

// remove unregisters a final: the records of all its partials name it, or it needs no
// more work.
func (p *pendingRegistrations) remove(final string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, partial := range p.partials[final] {
		left := slices.DeleteFunc(p.finals[partial], func(id string) bool { return id == final })
		if p.finals[partial] = left; len(left) == 0 {
			delete(p.finals, partial)
		}
	}
	delete(p.partials, final)
}

// partialState is the state of a partial at the time of a request for a final.
type partialState struct {
	info          FileInfo
	finals        []string // finals that may wait for it
	otherRequests int      // other requests for finals of it
}

// peekPartial loads a partial. It reads the finals in memory before those in the
// record, so that a final that moves to the record meanwhile is not missed.
func (e *engine) peekPartial(ctx context.Context, id string) (partialState, error) {
	finals, requests := e.registrations.of(id)
	_, info, err := e.peek(ctx, id)
	switch {
	case err != nil:
		return partialState{}, err
	case !info.IsPartial || info.State == StateFailed:
		return partialState{}, ErrInvalidConcat
	case e.isExpired(&info):
		return partialState{}, ErrUploadExpired
	}
	for _, final := range info.Finals {
		if !slices.Contains(finals, final) {
			finals = append(finals, final)
		}
	}
	return partialState{info, finals, requests - 1}, nil
}

// checkFinalLimit returns ErrTooManyFinals if one of the partials has the largest
// number of waiting finals already.
func (e *engine) checkFinalLimit(ctx context.Context, partials []partialState) error {
	for _, p := range partials {
		if len(p.finals)+p.otherRequests < maxWaitingFinals {
			continue
		}
		waiting, err := e.filterWaiting(ctx, p.info.ID, p.finals)
		if err != nil {
			return err
		}
		if len(waiting)+p.otherRequests >= maxWaitingFinals {
			return ErrTooManyFinals
		}
	}
	return nil
}

// finalsWaitingFor returns the finals that still need the partial in u.
func (e *engine) finalsWaitingFor(u *lockedUpload) ([]string, error) {
	finals, _ := e.registrations.of(u.id)
	if u.info.IsPartial && !e.finalsListed.Load() { // the last stop may have interrupted builds of full partials, whose records do not name the final
		err := e.eachSideRecord(e.background, kindBuilding, "", func(_ SideRecordKey, value []byte) error {
			finals = append(finals, string(value))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return e.filterWaiting(u.ctx, u.id, slices.Concat(u.info.Finals, finals))
}

// filterWaiting returns those of the finals that still need the partial. A full final
// does not, because its copy of the partial is durable.
func (e *engine) filterWaiting(ctx context.Context, partial string, finals []string) ([]string, error) {
	var waiting []string
	for _, final := range finals {
		upload, info, err := e.peek(ctx, final)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalidID):
		case err != nil:
			return nil, err
		case info.State == StateFailed || info.State == StateComplete || !slices.Contains(info.PartialUploads, partial):
		case !info.Full():
			waiting = append(waiting, final)
		default: // a crash may have interrupted the copy before its sync
			if err := e.makeDurable(ctx, final, upload); err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
	}
	return waiting, nil
}

// addToRecord adds a final to the record of the partial in p. It drops finals that do
// not wait any more. registered is false if the record has no space.
func (e *engine) addToRecord(p *lockedUpload, final string) (registered bool, err error) {
	if slices.Contains(p.info.Finals, final) {
		return true, nil
	}
	finals := p.info.Finals
	if n := len(finals); n > 0 && n%maxWaitingFinals == 0 { // not each time: it loads every final
		if finals, err = e.filterWaiting(p.ctx, p.id, finals); err != nil {
			return false, err
		}
	}
	if len(finals) >= maxRecordedFinals {
		return false, nil
	}
	return true, p.update(p.ctx, func(info *FileInfo) error {
		info.Finals = append(slices.Clone(finals), final)
		return nil
	})
}

// wakeFinals builds, or fails, the finals that wait for a partial, which has changed.
func (e *engine) wakeFinals(partial *FileInfo) {
	for _, final := range partial.Finals {
		e.wakeFinal(final, partial.ID)
	}
}

// wakeFinal does the same for one final. A builder that works on it now may have
// looked at the partial before; then another one follows it.
func (e *engine) wakeFinal(final string, partials ...string) {
	e.awaited.remove(final)
	e.woken.add(final, partials...)
	if !e.buildLater(final, partials...) {
		e.rescanFinals(e.lastRebuildDelay)
	}
}

// wokenFinals are finals for which something changed while a builder may work on them:
// another builder has to start after it. The zero value is ready to use.
type wokenFinals struct {
	mu  sync.Mutex
	ids map[string]wakeUp
}

// wakeUp is what was noted of a final.
type wakeUp struct {
	removed  bool
	partials []string // that changed, or that may name the final
}

// add notes that partials of the final have changed. A builder that completes the final
// after all needs no follower.
func (w *wokenFinals) add(final string, partials ...string) { w.put(final, wakeUp{partials: partials}) }

// addRemoved notes that the final was removed, or replaced by another one with its id.
func (w *wokenFinals) addRemoved(final string) { w.put(final, wakeUp{removed: true}) }

func (w *wokenFinals) put(final string, more wakeUp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids == nil {
		w.ids = make(map[string]wakeUp)
	}
	noted := w.ids[final]
	w.ids[final] = wakeUp{noted.removed || more.removed, uniqueIDs(slices.Concat(noted.partials, more.partials))}
}

// remove returns what was noted of the final, and deletes it.
func (w *wokenFinals) remove(final string) (noted wakeUp, woken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	noted, woken = w.ids[final]
	delete(w.ids, final)
	return noted, woken
}

// maxAwaited limits the size of awaitedPartials.
const maxAwaited = 1000

// awaitedPartials maps an unbuilt final, which is registered with all its partials, to
// one partial that is not full. Until that partial is full, the final needs no work.
// The zero value is ready to use.
type awaitedPartials struct {
	mu       sync.Mutex
	partials map[string]string // by the id of the final
}

func (a *awaitedPartials) set(final, partial string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.partials == nil {
		a.partials = make(map[string]string)
	}
	if len(a.partials) >= maxAwaited {
		for one := range a.partials {
			delete(a.partials, one)
			break
		}
	}
	a.partials[final] = partial
}

func (a *awaitedPartials) get(final string) (partial string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	partial, ok = a.partials[final]
	return partial, ok
}

func (a *awaitedPartials) remove(final string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.partials, final)
}

// isWaiting reports whether a final needs no work yet. It loads at most one record.
func (e *engine) isWaiting(ctx context.Context, final string) bool {
	partial, ok := e.awaited.get(final)
	if !ok {
		return false
	}
	_, info, err := e.peek(ctx, partial)
	return err == nil && !info.Full() && info.State != StateFailed
}

// checkUnneeded returns ErrPartialInUse if a final still needs the partial in u. overdue
// are finals that need it, too, but have waited too long.
func (e *engine) checkUnneeded(u *lockedUpload) (overdue []string, err error) {
	waiting, err := e.finalsWaitingFor(u)
	if err != nil {
		return nil, err
	}
	for _, final := range waiting {
		_, info, err := e.peek(u.ctx, final)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case e.now().Sub(info.Created) < maxFinalWait:
			return nil, ErrPartialInUse
		default:
			overdue = append(overdue, final)
		}
	}
	return overdue, nil
}

// failOverdueFinals fails the finals that have waited too long for the partial in u, all
// or none. It only tries to lock them: the holder of such a lock may be waiting for the
// lock of this partial.
func (e *engine) failOverdueFinals(u *lockedUpload, overdue []string) error {
	var locked []*lockedUpload
	defer func() {
		for _, f := range locked {
			f.release()
			e.wakeFinal(f.id, u.id) // removes the final from the other partials
		}
	}()
	for _, final := range overdue {
		f, err := e.lockAndLoad(u.ctx, final, LockTry) // durable: the copy of a full final replaces the partial
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case errors.Is(err, ErrUploadLocked):
			return ErrPartialInUse
		case err != nil:
			return err
		}
		locked = append(locked, f)
	}
	for _, f := range locked {
		if !slices.Contains(f.info.PartialUploads, u.id) || f.info.Full() || f.info.State == StateFailed {
			continue // built, failed, or another upload with its id
		}
		if err := e.recordFailure(f, "a partial upload was removed before the final upload was built"); err != nil {
			return err
		}
	}
	return nil
}

// maxFinalWait is how long an unfinished final protects its partials from removal.
const maxFinalWait = 24 * time.Hour
