package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
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
	if err == nil && !res.exists() {
		res, err = e.newFinal(c, req, key)
	}
	e.joining.leave(key.Name)
	if err != nil || e.isBuilt(*res.info) {
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
	return e.remove(h)
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
	return result{info: &info}, err
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

// measure looks up the partials of a new final, once each, and adds up their
// lengths.
func (e *engine) measure(ctx context.Context, info *FileInfo) error {
	ids := distinct(info.PartialUploads)
	partials, err := e.peekPartials(ctx, ids)
	if err != nil {
		return err
	}
	lengths := make(map[string]int64, len(ids))
	for i, partial := range partials {
		lengths[ids[i]] = max(partial.length(), partial.Offset)
		info.SizeIsDeferred = info.SizeIsDeferred || partial.SizeIsDeferred
	}
	size, err := e.addUp(info.PartialUploads, lengths)
	if err == nil && !info.SizeIsDeferred {
		info.Size = size
	}
	return err
}

// addUp adds up the lengths of partials, each as often as it is named, unless
// the sum is too large for a final.
func (e *engine) addUp(named []string, lengths map[string]int64) (sum int64, err error) {
	for _, id := range named {
		if lengths[id] > math.MaxInt64-sum {
			return 0, ErrMaxSizeExceeded
		}
		sum += lengths[id]
	}
	if e.tooLarge(sum) {
		return 0, ErrMaxSizeExceeded
	}
	return sum, nil
}

// peeksAtOnce bounds how many partials one request looks up side by side.
const peeksAtOnce = 8

// peekPartials returns the records of the partials. The first one that cannot
// be joined ends the lookups.
func (e *engine) peekPartials(ctx context.Context, ids []string) ([]FileInfo, error) {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	infos := make([]FileInfo, len(ids))
	var next atomic.Int64
	peekOn := func() error {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(ids) {
				break
			}
			_, info, err := e.peek(ctx, ids[i])
			if err == nil && (!info.IsPartial || info.State == StateFailed) {
				err = ErrInvalidConcat
			}
			if err != nil {
				return err
			}
			infos[i] = info
		}
		return nil
	}
	var workers sync.WaitGroup
	for range min(len(ids), peeksAtOnce) {
		workers.Go(func() {
			if err := guard(peekOn); err != nil {
				refuse(err)
			}
		})
	}
	workers.Wait()
	return infos, context.Cause(ctx)
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
		if o.err != nil || o.res.exists() {
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
	return result{info: &info}, err
}
