package tusd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Finals that wait for partials. The record of a partial names them and is rewritten
// for each of them, so their number is limited.

const (
	// maxWaitingFinals is how many unfinished finals may wait for one partial.
	maxWaitingFinals = 16
	// maxRecordedFinals is how many its record names at most: several servers that
	// are asked at the same time, and finals of full partials that could not be
	// joined, may be more.
	maxRecordedFinals = 4 * maxWaitingFinals
)

// pendingRegistrations are the finals that partials could not be told about yet. The zero
// value is ready to use.
type pendingRegistrations struct {
	mu       sync.Mutex
	requests map[string]int      // requests for finals that are not made yet, by the id of the partial
	finals   map[string][]string // by the id of the partial
	partials map[string][]string // the same by the id of the final
}

// beginRequest counts a request for a final of these partials until answered.
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

// of returns the finals that wait for a partial, and how many requests are
// asking for another.
func (p *pendingRegistrations) of(partial string) (finals []string, requests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.finals[partial]), p.requests[partial]
}

// remove removes a final: all its partials have been told, or it is over.
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

// partialState is a partial as a request for a final has found it.
type partialState struct {
	info          FileInfo
	finals        []string // that may wait for it
	otherRequests int      // other requests for finals of it
}

// peekPartial looks a partial up. Its finals are complete: what moves from
// memory to the record meanwhile is in both.
func (e *engine) peekPartial(ctx context.Context, id string) (partialState, error) {
	finals, requests := e.registrations.of(id)
	_, info, err := e.peek(ctx, id)
	switch {
	case err != nil:
		return partialState{}, err
	case !info.IsPartial || info.State == StateFailed:
		return partialState{}, ErrInvalidConcat
	}
	for _, final := range info.Finals {
		if !slices.Contains(finals, final) {
			finals = append(finals, final)
		}
	}
	return partialState{info, finals, requests - 1}, nil
}

// checkFinalLimit refuses a final that has to wait if as many wait for one of its
// partials as may.
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

// finalsWaitingFor are the finals that still need the partial in h.
func (e *engine) finalsWaitingFor(h *lockedUpload) ([]string, error) {
	finals, _ := e.registrations.of(h.id)
	if h.info.IsPartial && !e.finalsListed.Load() { // finals of full partials that were being built at the last stop are not named yet
		err := e.eachSideRecord(kindBuilding, func(_ SideKey, value []byte) error {
			finals = append(finals, string(value))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return e.filterWaiting(h.ctx, h.id, slices.Concat(h.info.Finals, finals))
}

// filterWaiting returns those of the finals that need the partial.
func (e *engine) filterWaiting(ctx context.Context, partial string, finals []string) ([]string, error) {
	var waiting []string
	for _, final := range finals {
		_, info, err := e.peek(ctx, final)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalidID):
		case err != nil:
			return nil, err
		case !info.Full() && info.State != StateFailed && slices.Contains(info.PartialUploads, partial):
			waiting = append(waiting, final)
		}
	}
	return waiting, nil
}

// addToRecord writes into the record of the partial in p that a final waits for
// it, in place of those that do not any more. named is false if there is no place.
func (e *engine) addToRecord(p *lockedUpload, final string) (registered bool, err error) {
	if slices.Contains(p.info.Finals, final) {
		return true, nil
	}
	finals := p.info.Finals
	if n := len(finals); n > 0 && n%maxWaitingFinals == 0 { // not for each of many
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

// wakeFinals builds, or fails, the finals that wait for a partial.
func (e *engine) wakeFinals(partial *FileInfo) {
	for _, final := range partial.Finals {
		e.wakeFinal(final, partial.ID)
	}
}

// wakeFinal is the same for one final.
func (e *engine) wakeFinal(final, partial string) {
	e.awaited.remove(final)
	if !e.buildLater(final, partial) {
		e.rescanFinals(e.lastRebuildDelay)
	}
}

// maxAwaited bounds what is remembered of unbuilt finals.
const maxAwaited = 1000

// awaitedPartials remembers one unfinished partial of each unbuilt final whose
// partials all know that it waits for them: until that one is full there is
// nothing to do. The zero value is ready to use.
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

// isWaiting reports whether there is nothing to do for a final, at the cost
// of one lookup at most.
func (e *engine) isWaiting(ctx context.Context, final string) bool {
	partial, ok := e.awaited.get(final)
	if !ok {
		return false
	}
	_, info, err := e.peek(ctx, partial)
	return err == nil && !info.Full() && info.State != StateFailed
}

// failOverdueFinals makes sure that no final upload still hopes for the partial
// upload in h: a young one keeps it, one that has waited too long fails.
func (e *engine) failOverdueFinals(h *lockedUpload) error {
	waiting, err := e.finalsWaitingFor(h)
	if err != nil {
		return err
	}
	for _, final := range waiting {
		if err := e.failOverdueFinal(h, final); err != nil {
			return err
		}
		e.wakeFinal(final, h.id) // the other partials forget it
	}
	return nil
}

// failOverdueFinal fails one final, if it is old enough. Its lock is only tried: who
// holds a final's lock may be waiting for this partial's.
func (e *engine) failOverdueFinal(h *lockedUpload, final string) error {
	f, err := e.lockAndLoad(h.ctx, final, LockTry)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case errors.Is(err, ErrUploadLocked):
		return ErrPartialInUse
	case err != nil:
		return err
	}
	defer f.release()
	if e.now().Sub(f.info.Created) < maxFinalWait {
		return ErrPartialInUse
	}
	return e.recordFailure(f, "a partial upload was removed before the final upload was built")
}

// maxFinalWait is how long an unfinished final upload keeps its partial
// uploads from being removed.
const maxFinalWait = 24 * time.Hour
