package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// UndeliveredEvent is an event that Config.Delivery keeps in a side record: it waits for its
// receiver, or is dead.
type UndeliveredEvent struct {
	Key      SideRecordKey // names the side record
	Type     EventType
	UploadID string
	Since    time.Time // when it was to be delivered first; before that, the upload may not have been finished
	Tried    time.Time // the last attempt after which none followed soon; zero: not known
	Attempts int       // of the process that made that attempt
	Error    string    // of that attempt
	Dead     bool      // it is not delivered again, unless Handler.Redeliver is called
}

// DeliveryStats is what Config.Delivery has not delivered yet, as far as it is in memory.
type DeliveryStats struct {
	Waiting int       // events
	Bytes   int64     // estimated memory
	Oldest  time.Time // when the oldest of them was to be delivered first; zero: none waits
	LeftOut bool      // others did not fit into memory, and wait in the store
}

// DeliveryStats counts the events that wait in memory. It takes a time that grows with their
// number: a millisecond for the most that fit.
func (h *Handler) DeliveryStats() DeliveryStats { return h.engine.deliveries.stats() }

// Undelivered calls f for each event that waits in the store, until f returns an error, which
// Undelivered returns. Those that a process is delivering just now are among them. Works with
// Config.ReadOnly, and without Config.Delivery.
func (h *Handler) Undelivered(ctx context.Context, f func(UndeliveredEvent) error) error {
	for _, kind := range []string{kindCreating, kindFinishing, kindRemoving} {
		err := h.engine.eachSideRecord(ctx, kind, "", func(key SideRecordKey, value []byte) error {
			event, ok := undelivered(key, value)
			if !ok {
				return nil
			}
			return f(event)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// undelivered decodes a side record. ok is false if it is about no event.
func undelivered(key SideRecordKey, value []byte) (event UndeliveredEvent, ok bool) {
	event.Key = key
	var d deliveryRecord
	switch key.Kind {
	case kindCreating:
		var r creationRecord
		if json.Unmarshal(value, &r) != nil {
			return event, false
		}
		d, event.Type, event.UploadID, event.Since = r.Delivery, EventPostCreate, r.ID, r.Created
	case kindFinishing:
		r := parseFinishRecord(value)
		d, event.Type, event.UploadID, event.Since = r.Delivery, EventPostFinish, r.ID, r.Since
	case kindRemoving:
		var r removalRecord
		if json.Unmarshal(value, &r) != nil {
			return event, false
		}
		d, event.Type, event.UploadID, event.Since = r.Delivery, r.Reason.eventType(), r.Upload.ID, r.Since
	default:
		return event, false
	}
	event.Tried, event.Attempts, event.Error, event.Dead = d.Tried, d.Attempts, d.Error, d.Dead
	return event, event.UploadID != ""
}

// UndeliveredEvent returns the event of a side record, or ErrNotFound.
func (h *Handler) UndeliveredEvent(ctx context.Context, key SideRecordKey) (UndeliveredEvent, error) {
	value, err := h.engine.store.SideRecords.GetSideRecord(ctx, key)
	if err != nil {
		return UndeliveredEvent{}, err
	}
	event, ok := undelivered(key, value)
	if !ok {
		return event, ErrNotFound.With(errors.New("the side record is about no event"))
	}
	return event, nil
}

// Redeliver lets a dead event be delivered again, for Delivery.GiveUpAfter at most. The process
// that serves the uploads does that within minutes; this handler does it at once if it is that
// process. ErrNotFound: the event was delivered or dropped; ErrNotImplemented with
// Config.ReadOnly.
func (h *Handler) Redeliver(ctx context.Context, key SideRecordKey) error {
	if h.engine.config.ReadOnly {
		return ErrNotImplemented
	}
	if _, err := h.UndeliveredEvent(ctx, key); err != nil {
		return err
	}
	err := h.engine.changeDelivery(ctx, key, func(d *deliveryRecord) {
		d.Tried, d.Attempts, d.Error, d.Dead, d.Again = time.Time{}, 0, "", false, h.engine.now().UTC()
	})
	if err == nil && !h.engine.config.Offline && !h.engine.deliveries.loadsLater(key) {
		h.engine.work.Start(func() { h.engine.resumeDeliveries(h.engine.leastIdleAge()) })
	}
	return err
}

// DropEvent removes an event that waits or is dead: it is not delivered. An attempt that is
// running may still deliver it. ErrUploadFinishing: the upload is not complete yet, so its side
// record is needed; an error that is ErrBroken: its removal has to be completed before. Otherwise
// as Redeliver.
func (h *Handler) DropEvent(ctx context.Context, key SideRecordKey) error {
	if h.engine.config.ReadOnly {
		return ErrNotImplemented
	}
	event, err := h.UndeliveredEvent(ctx, key)
	if err != nil {
		return err
	}
	return h.engine.dropEvent(ctx, key, event.UploadID)
}

// dropEvent deletes a side record, unless more than its event depends on it.
func (e *engine) dropEvent(ctx context.Context, key SideRecordKey, id string) error {
	u, err := e.lock(ctx, id, LockWait)
	if err != nil {
		return err
	}
	defer u.release()
	switch err := u.load(e.store.Core); {
	case key.Kind == kindRemoving && errors.Is(err, ErrBroken):
		return err
	case err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken):
		return err
	case err == nil && key == finishingKey(&u.info) && e.needsFinish(&u.info):
		return ErrUploadFinishing
	}
	return e.deleteSideRecord(u.ctx, key)
}
