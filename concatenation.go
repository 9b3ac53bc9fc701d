package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Final uploads (tus 1.0, Concatenation, with unfinished partial uploads).
//
// A final is a record that names its partials and, once it is built, data of
// its own. Building is one function that may be repeated until it has
// succeeded, whoever starts it: the POST that makes the final, the request
// that finishes the last partial, or a HEAD of the final.

const (
	// buildPatience is how long the POST waits for the final to be built
	// before it answers and leaves the rest to the background.
	buildPatience = 10 * time.Second
	// sameFinalFor is how long a POST with the same partials and metadata
	// means the same final, so that a repetition after a lost answer does
	// not join everything a second time.
	sameFinalFor = 10 * time.Minute
	// kindConcat is the kind of the side records behind that.
	kindConcat = "concat"
	// kindBuilding is the kind of the side records that name finals which are
	// not built yet, so that a restart goes on with them.
	kindBuilding = "building"
)

func buildingKey(id string) SideKey { return SideKey{Kind: kindBuilding, Name: hashName(id)} }

// concatenation is a request for a final upload, as a dialect has read it.
type concatenation struct {
	partials []string // ids in the order of the bytes; one may appear more than once
	raw      string   // Upload-Concat byte for byte
	metadata MetaData
	rawMeta  string // Upload-Metadata byte for byte
}

// joined is the side record of a final that was asked for.
type joined struct {
	ID      string
	Created time.Time
}

// concatenate makes a final upload and builds it.
func (e *engine) concatenate(c *call, req concatenation) (result, error) {
	for _, id := range distinct(req.partials) {
		if err := e.authorize(c, id); err != nil {
			return result{}, err
		}
	}
	key := req.key()
	if !e.joining.enter(key.Name) {
		return result{}, ErrUploadLocked
	}
	res, err := e.sameFinal(c, key)
	if err == nil && res.info.ID == "" {
		res, err = e.newFinal(c, req, key)
	}
	e.joining.leave(key.Name)
	if err != nil || e.isBuilt(res.info) {
		return res, err
	}
	built, err := e.awaitFinal(c, res.info.ID)
	if errors.Is(err, ErrNotFound) {
		return result{}, errors.Join(err, e.discard(c, res.info.ID))
	}
	res.merge(built)
	return res, err
}

// discard removes a final that failed before its client has heard of it.
func (e *engine) discard(c *call, id string) error {
	if e.store.Terminater == nil {
		return nil
	}
	h, err := e.lock(c.ctx, id, LockTake)
	if err != nil {
		return err
	}
	defer h.release()
	return e.store.Terminater.Terminate(h.ctx, h.lease, id)
}

// isBuilt tells whether nobody has to do anything about a final any more.
func (e *engine) isBuilt(info FileInfo) bool {
	return info.Complete() && !e.building.busy(info.ID)
}

// key names what makes two requests ask for the same final.
func (req concatenation) key() SideKey {
	return SideKey{Kind: kindConcat, Name: hashName(strings.Join(req.partials, " ") + "\n" + req.rawMeta)}
}

// sameFinal finds the final that an equal request made a short time ago.
func (e *engine) sameFinal(c *call, key SideKey) (result, error) {
	e.sweepJoined()
	value, err := e.store.SideRecords.GetSide(c.ctx, key)
	if errors.Is(err, ErrNotFound) {
		return result{}, nil
	}
	if err != nil {
		return result{}, err
	}
	j, fresh := e.readJoined(value)
	if !fresh {
		return result{}, nil
	}
	_, info, err := e.peek(c.ctx, j.ID)
	if errors.Is(err, ErrNotFound) || err == nil && info.State == StateFailed {
		return result{}, nil
	}
	return result{info: info}, err
}

// readJoined decodes a side record and tells whether it still counts.
func (e *engine) readJoined(value []byte) (j joined, fresh bool) {
	if json.Unmarshal(value, &j) != nil {
		return j, false
	}
	return j, e.now().Sub(j.Created) < sameFinalFor
}

// sweepJoined removes, now and then and in the background, the side records
// that do not count any more.
func (e *engine) sweepJoined() {
	last, now := e.swept.Load(), e.now().Unix()
	if now-last < int64(sameFinalFor/time.Second) || !e.swept.CompareAndSwap(last, now) {
		return
	}
	e.work.start(func() {
		err := e.eachSide(kindConcat, func(key SideKey, value []byte) error {
			if _, fresh := e.readJoined(value); fresh {
				return nil
			}
			return e.store.SideRecords.DeleteSide(e.background, key)
		})
		if err != nil && e.background.Err() == nil {
			e.log.Warn("cannot remove old side records", "kind", kindConcat, "err", err)
		}
	})
}

// newFinal stores the record of a final, not its data.
func (e *engine) newFinal(c *call, req concatenation, key SideKey) (result, error) {
	info := e.newInfo(c, req.metadata, req.rawMeta)
	info.IsFinal, info.PartialUploads, info.RawConcat = true, req.partials, req.raw
	if err := e.measure(c.ctx, &info); err != nil {
		return result{}, err
	}
	h, res, err := e.establish(c, info)
	if err != nil {
		return res, err
	}
	defer h.release()
	value, err := json.Marshal(joined{ID: h.id, Created: e.now()})
	if err == nil {
		err = e.store.SideRecords.PutSide(h.ctx, buildingKey(h.id), []byte(h.id))
	}
	if err == nil {
		err = e.store.SideRecords.PutSide(h.ctx, key, value)
	}
	return res, err
}

// measure checks the partials of a new final and adds up their lengths.
func (e *engine) measure(ctx context.Context, info *FileInfo) error {
	for _, id := range info.PartialUploads {
		_, partial, err := e.peek(ctx, id)
		switch {
		case err != nil:
			return err
		case !partial.IsPartial || partial.State == StateFailed:
			return ErrInvalidConcat
		case partial.SizeIsDeferred:
			info.SizeIsDeferred = true
		case partial.Size > math.MaxInt64-info.Size:
			return ErrMaxSizeExceeded
		}
		info.Size += partial.Size
	}
	if e.tooLarge(info.Size) {
		return ErrMaxSizeExceeded
	}
	if info.SizeIsDeferred {
		info.Size = 0
	}
	return nil
}

// outcome is what building a final has come to.
type outcome struct {
	res result
	err error
}

// awaitFinal starts the builder and waits for it for a while, but not for
// partials that are not full yet.
func (e *engine) awaitFinal(c *call, id string) (result, error) {
	first := make(chan outcome, 1)
	started := e.startBuilding(id, e.origin(c), func(o outcome) { first <- o })
	patience := time.NewTimer(e.wait)
	defer patience.Stop()
	var done <-chan struct{}
	if !started {
		done = e.building.done(id) // somebody else's; nil if that has just ended
		if done == nil {
			return e.builtFinal(c, id)
		}
	}
	select {
	case o := <-first:
		if o.err != nil || o.res.info.ID != "" {
			return o.res, o.err
		}
		return e.builtFinal(c, id)
	case <-done:
		return e.builtFinal(c, id)
	case <-patience.C:
	case <-c.ctx.Done():
	}
	return result{}, nil
}

func (e *engine) builtFinal(c *call, id string) (result, error) {
	_, info, err := e.peek(c.ctx, id)
	return result{info: info}, err
}

// buildLater builds a final in the background, unless that is going on.
func (e *engine) buildLater(id string) {
	e.startBuilding(id, HTTPRequest{}, func(o outcome) {
		if o.err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", id, "err", o.err)
		}
	})
}

// The waits between two attempts to tell busy partials who waits for them,
// doubling.
const (
	firstNaming = 50 * time.Millisecond
	lastNaming  = 5 * time.Second
)

// startBuilding works on a final in the background, unless somebody does:
// until it is built, has failed, or all its partials know that it waits for
// them. report is told once what came of the first attempt; if that was the
// last one, when everybody can see that the work is over.
func (e *engine) startBuilding(id string, request HTTPRequest, report func(outcome)) bool {
	if !e.building.enter(id) {
		return false
	}
	started := e.work.start(func() {
		afterwards := func() {}
		defer func() {
			e.naming.forget(id)
			e.building.leave(id)
			afterwards()
		}()
		res, again, err := e.build(id, request)
		if !again {
			afterwards = func() { report(outcome{res, err}) }
			return
		}
		report(outcome{res, err})
		for wait := firstNaming; again && e.pause(wait); wait = min(2*wait, lastNaming) {
			if _, again, err = e.build(id, request); err != nil && e.background.Err() == nil {
				e.log.Error("building a final upload failed", "id", id, "again", again, "err", err)
			}
		}
	})
	if !started {
		e.building.leave(id)
	}
	return started
}

// build does for a final what can be done now: join its partials and finish
// it if all are full, else make sure that they know who waits for them. again
// tells that it has to be called once more: a partial could not be told
// because a request was using it, or something failed that may not fail again.
func (e *engine) build(id string, request HTTPRequest) (res result, again bool, err error) {
	f, err := e.hold(e.background, id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return result{}, false, e.forgetSide(e.background, buildingKey(id)) // terminated
	}
	if err != nil {
		return result{}, true, err
	}
	defer f.release()
	if f.info.State == StateFailed || f.info.Complete() {
		return result{info: f.info}, false, e.forgetSide(f.ctx, buildingKey(id))
	}
	full, busy, err := e.gather(f)
	switch {
	case errors.Is(err, ErrNotFound):
		return result{}, false, errors.Join(err, e.failFinal(f, "a partial upload is gone"))
	case err != nil || !full:
		return result{}, busy || err != nil && !isRefusal(err), err
	}
	res, err = e.finish(f, request) // which repeats itself if it has to
	if err == nil {
		err = e.forgetSide(e.background, buildingKey(id))
	}
	return res, false, err
}

// gather makes the final full, if its partials are. busy tells that one of
// them could not be told who waits for it.
func (e *engine) gather(f *hold) (full, busy bool, err error) {
	full, err = e.allFull(f)
	if err == nil && !full {
		if busy, err = e.nameFinal(f); err == nil && !busy {
			full, err = e.allFull(f) // the last one may have become full before it was told
		}
	}
	if err == nil && full && !f.info.Full() {
		err = e.join(f)
	}
	return full, busy, err
}

// allFull tells whether every partial has all its bytes. It takes no locks: a
// partial that is full stays so.
func (e *engine) allFull(f *hold) (bool, error) {
	for _, id := range distinct(f.info.PartialUploads) {
		_, info, err := e.peek(f.ctx, id)
		if err != nil || !info.Full() {
			return false, err
		}
	}
	return true, nil
}

// nameFinal writes into the record of each partial that the final waits for
// it. Uploads go on meanwhile: a partial that is being used is only noted in
// memory, and busy says that there is one.
func (e *engine) nameFinal(f *hold) (busy bool, err error) {
	for _, id := range distinct(f.info.PartialUploads) {
		p, err := e.hold(f.ctx, id, LockTry)
		if errors.Is(err, ErrUploadLocked) {
			e.naming.note(id, f.id)
			busy = true
			continue
		}
		if err != nil {
			return busy, err
		}
		if !slices.Contains(p.info.Finals, f.id) {
			err = p.upload.UpdateInfo(p.ctx, func(info *FileInfo) error {
				info.Finals = append(info.Finals, f.id)
				return nil
			})
		}
		p.release()
		if err != nil {
			return busy, err
		}
	}
	return busy, nil
}

// namings are the finals that partials could not be told about yet. The zero
// value is ready to use.
type namings struct {
	mu     sync.Mutex
	finals map[string][]string // by the id of the partial
}

func (n *namings) note(partial, final string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.finals == nil {
		n.finals = make(map[string][]string)
	}
	if !slices.Contains(n.finals[partial], final) {
		n.finals[partial] = append(n.finals[partial], final)
	}
}

// of returns the finals that wait for a partial.
func (n *namings) of(partial string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.finals[partial])
}

// forget takes a final out: all its partials have been told, or it is over.
func (n *namings) forget(final string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for partial, finals := range n.finals {
		left := slices.DeleteFunc(finals, func(id string) bool { return id == final })
		if n.finals[partial] = left; len(left) == 0 {
			delete(n.finals, partial)
		}
	}
}

// join copies the partials into the final. Their leases, taken in the order
// of the ids so that two builders never wait for each other, are kept until
// it is done and given to nobody who asks.
func (e *engine) join(f *hold) error {
	held := make(map[string]*hold, len(f.info.PartialUploads))
	defer func() {
		for _, p := range held {
			p.release()
		}
	}()
	for _, id := range distinct(f.info.PartialUploads) {
		p, err := e.hold(f.ctx, id, LockWait)
		if err != nil {
			return err
		}
		held[id] = p
	}
	uploads := make([]Upload, len(f.info.PartialUploads))
	for i, id := range f.info.PartialUploads {
		uploads[i] = held[id].upload
	}
	if err := e.declareFinal(f, held); err != nil {
		return err
	}
	if err := e.store.Concater.Concat(f.ctx, f.upload, uploads); err != nil {
		return err
	}
	if err := f.refresh(); err != nil {
		return err
	}
	return dropFinal(f, held)
}

// declareFinal fixes the length of a final that was made when the length of a
// partial was not known.
func (e *engine) declareFinal(f *hold, held map[string]*hold) error {
	if !f.info.SizeIsDeferred {
		return nil
	}
	var length int64
	for _, id := range f.info.PartialUploads {
		size := held[id].info.Size
		if size > math.MaxInt64-length || e.tooLarge(length+size) {
			return errors.Join(ErrMaxSizeExceeded, e.failFinal(f, "the partial uploads are larger together than this server allows"))
		}
		length += size
	}
	if err := e.store.LengthDeferrer.DeclareLength(f.ctx, f.upload, length); err != nil {
		return err
	}
	return f.refresh()
}

// dropFinal takes the built final out of the records of its partials.
func dropFinal(f *hold, held map[string]*hold) error {
	for _, p := range held {
		if !slices.Contains(p.info.Finals, f.id) {
			continue
		}
		err := p.upload.UpdateInfo(p.ctx, func(info *FileInfo) error {
			info.Finals = slices.DeleteFunc(slices.Clone(info.Finals), func(id string) bool { return id == f.id })
			return nil
		})
		if err != nil {
			return fmt.Errorf("partial upload %s: %w", p.id, err)
		}
	}
	return nil
}

// failFinal ends a final that can never be built.
func (e *engine) failFinal(f *hold, why string) error {
	e.log.Warn("a final upload has failed", "id", f.id, "why", why)
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: http.StatusGone, Body: why + "\n"}
	if err := f.setState(f.ctx, StateFailed, failure); err != nil {
		return err
	}
	return e.forgetSide(f.ctx, buildingKey(f.id))
}

// distinct returns the ids once each, in order.
func distinct(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
