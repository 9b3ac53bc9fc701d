package tusd

import (
	"errors"
)

// terminate removes an upload. It interrupts a running request on it. An upload whose
// record is broken can be removed, too.
func (e *engine) terminate(op *operation, id string) (operationResult, error) {
	if err := e.authorize(op, id); err != nil {
		return operationResult{}, err
	}
	u, err := e.lock(op.ctx, id, LockPreempt)
	if err != nil {
		return operationResult{}, err
	}
	defer u.release()
	u.info.ID = id // all that is known of a broken record
	if err := u.load(e.store.Core); err != nil && !errors.Is(err, ErrBroken) {
		return operationResult{}, err
	}
	if err := e.failOverdueFinals(u); err != nil {
		return operationResult{}, err
	}
	response, err := e.preTerminate(op, u)
	if err != nil {
		return operationResult{}, err
	}
	registered, err := e.savePartials(u)
	if err != nil {
		return operationResult{}, err
	}
	if err := e.removeAndPublish(u, e.eventRequest(op)); err != nil {
		return operationResult{}, err
	}
	if registered {
		u.release()
		e.unregisterSoon(op.ctx, id)
	}
	return operationResult{info: &u.info, response: response}, nil
}

// removeAndPublish removes an upload and publishes that, once for each upload whose
// creation was published.
func (e *engine) removeAndPublish(u *lockedUpload, request HTTPRequest) error {
	err := e.remove(u)
	if err != nil && !e.isGone(u, err) {
		return err
	}
	e.metrics.UploadsTerminated.Add(1)
	e.events.publish(Event{Type: EventPostTerminate, Upload: u.info, HTTPRequest: request})
	return err
}

// isGone reports whether the upload does not exist any more after a removal that
// returned an error. If so, this was the last chance to publish the removal.
func (e *engine) isGone(u *lockedUpload, err error) bool {
	if errors.Is(err, ErrNotFound) { // an earlier removal has removed it
		return false
	}
	_, _, err = e.load(u.lease.Context(), u.id)
	return errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken)
}

func (e *engine) preTerminate(op *operation, u *lockedUpload) (HTTPResponse, error) {
	ask := e.config.Callbacks.PreTerminate
	if ask == nil {
		return HTTPResponse{}, nil
	}
	return consult(func() (HTTPResponse, error) {
		return ask(u.ctx, Event{Type: EventPreTerminate, Upload: u.info.Clone(), HTTPRequest: op.from.request()})
	})
}
