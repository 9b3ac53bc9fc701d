package tusd

import (
	"errors"
)

// terminate removes an upload. It interrupts a running request on it. An upload whose
// record is broken can be removed, too.
func (e *engine) terminate(c *operation, id string) (operationResult, error) {
	if err := e.authorize(c, id); err != nil {
		return operationResult{}, err
	}
	h, err := e.lock(c.ctx, id, LockPreempt)
	if err != nil {
		return operationResult{}, err
	}
	defer h.release()
	h.info.ID = id // all that is known of a broken record
	if err := h.load(e.store.Core); err != nil && !errors.Is(err, ErrBroken) {
		return operationResult{}, err
	}
	if err := e.failOverdueFinals(h); err != nil {
		return operationResult{}, err
	}
	response, err := e.preTerminate(c, h)
	if err != nil {
		return operationResult{}, err
	}
	registered, err := e.savePartials(h)
	if err != nil {
		return operationResult{}, err
	}
	if err := e.removeAndPublish(h, e.eventRequest(c)); err != nil {
		return operationResult{}, err
	}
	if registered {
		h.release()
		e.unregisterSoon(c.ctx, id)
	}
	return operationResult{info: &h.info, response: response}, nil
}

// removeAndPublish removes an upload and publishes that, once for each upload whose
// creation was published.
func (e *engine) removeAndPublish(h *lockedUpload, request HTTPRequest) error {
	err := e.remove(h)
	if err != nil && !e.isGone(h, err) {
		return err
	}
	e.metrics.UploadsTerminated.Add(1)
	e.events.publish(Event{Type: EventPostTerminate, Upload: h.info, HTTPRequest: request})
	return err
}

// isGone reports whether the upload does not exist any more after a removal that
// returned an error. If so, this was the last chance to publish the removal.
func (e *engine) isGone(h *lockedUpload, err error) bool {
	if errors.Is(err, ErrNotFound) { // an earlier removal has removed it
		return false
	}
	_, _, err = e.load(h.lease.Context(), h.id)
	return errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken)
}

func (e *engine) preTerminate(c *operation, h *lockedUpload) (HTTPResponse, error) {
	ask := e.config.Callbacks.PreTerminate
	if ask == nil {
		return HTTPResponse{}, nil
	}
	return consult(func() (HTTPResponse, error) {
		return ask(h.ctx, Event{Type: EventPreTerminate, Upload: h.info.Clone(), HTTPRequest: c.from.request()})
	})
}
