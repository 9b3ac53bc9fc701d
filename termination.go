package tusd

import (
	"errors"
	"time"
)

// maxFinalWait is how long an unfinished final upload keeps its partial
// uploads from being removed.
const maxFinalWait = 24 * time.Hour

// terminate removes an upload. A running request on it is ended first. A
// broken record is removed like an upload.
func (e *engine) terminate(c *call, id string) (result, error) {
	if err := e.authorize(c, id); err != nil {
		return result{}, err
	}
	h, err := e.lock(c.ctx, id, LockPreempt)
	if err != nil {
		return result{}, err
	}
	defer h.release()
	h.info.ID = id // all that is known of a broken record
	if err := h.load(e.store.Core); err != nil && !errors.Is(err, ErrBroken) {
		return result{}, err
	}
	if err := e.dismissFinals(h); err != nil {
		return result{}, err
	}
	response, err := e.preTerminate(c, h)
	if err != nil {
		return result{}, err
	}
	named, err := e.keepPartials(h)
	if err != nil {
		return result{}, err
	}
	if err := e.erase(h, e.origin(c)); err != nil {
		return result{}, err
	}
	if named {
		h.release()
		e.leaveSoon(c.ctx, id)
	}
	return result{info: &h.info, response: response}, nil
}

// erase removes an upload and tells that, once for each upload whose creation was
// told.
func (e *engine) erase(h *hold, request HTTPRequest) error {
	err := e.remove(h)
	if err != nil && !e.vanished(h, err) {
		return err
	}
	e.metrics.UploadsTerminated.Add(1)
	e.events.publish(Event{Type: EventPostTerminate, Upload: h.info, HTTPRequest: request})
	return err
}

// vanished reports whether a removal that failed has left nothing: no later one
// would find anything to tell of.
func (e *engine) vanished(h *hold, err error) bool {
	if errors.Is(err, ErrNotFound) { // this removal has not done it
		return false
	}
	_, _, err = e.load(h.lease.Context(), h.id)
	return errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken)
}

func (e *engine) preTerminate(c *call, h *hold) (HTTPResponse, error) {
	ask := e.config.Callbacks.PreTerminate
	if ask == nil {
		return HTTPResponse{}, nil
	}
	return consult(func() (HTTPResponse, error) {
		return ask(h.ctx, Event{Type: EventPreTerminate, Upload: h.info.Clone(), HTTPRequest: c.from.request()})
	})
}

// dismissFinals makes sure that no final upload still hopes for the partial
// upload in h: a young one keeps it, one that has waited too long fails.
func (e *engine) dismissFinals(h *hold) error {
	waiting, err := e.waitingFinals(h)
	if err != nil {
		return err
	}
	for _, final := range waiting {
		if err := e.dismiss(h, final); err != nil {
			return err
		}
		e.wakeFinal(final, h.id) // the other partials forget it
	}
	return nil
}

// dismiss fails one final, if it is old enough. Its lock is only tried: who
// holds a final's lock may be waiting for this partial's.
func (e *engine) dismiss(h *hold, final string) error {
	f, err := e.hold(h.ctx, final, LockTry)
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
	return e.setFailed(f, "a partial upload was removed before the final upload was built")
}
