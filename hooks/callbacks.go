package hooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// callbacks returns callbacks that call those of the program, and then the hooks.
func (h *Hooks) callbacks(own tusd.Callbacks) tusd.Callbacks {
	all := own
	if h.config.wants(tusd.EventPreAccess) {
		all.PreAccess = func(ctx context.Context, event tusd.Event) error {
			if own.PreAccess != nil {
				if err := own.PreAccess(ctx, event); err != nil {
					return err
				}
			}
			return h.preAccess(ctx, event)
		}
	}
	if h.config.wants(tusd.EventPreCreate) {
		all.PreCreate = func(ctx context.Context, event tusd.Event) (response tusd.HTTPResponse, changes tusd.FileInfoChanges, err error) {
			if own.PreCreate != nil {
				if response, changes, err = own.PreCreate(ctx, event); err != nil {
					return response, changes, err
				}
			}
			return h.preCreate(ctx, event, response, changes)
		}
	}
	if h.config.wants(tusd.EventPreFinish) {
		all.PreFinish = h.after(own.PreFinish, func(r HookResponse) error {
			if r.HTTPResponse.isClientError() {
				return tusd.ErrUploadRejected.Refuse(r.HTTPResponse.response())
			}
			return r.HTTPResponse.failure(500)
		})
	}
	if h.config.wants(tusd.EventPreTerminate) {
		all.PreTerminate = h.after(own.PreTerminate, func(r HookResponse) error {
			if r.RejectTermination {
				return tusd.ErrTerminationRejected.Refuse(r.HTTPResponse.response())
			}
			return nil
		})
	}
	return all
}

// changer is the type of tusd.Callbacks.PreFinish and PreTerminate.
type changer = func(context.Context, tusd.Event) (tusd.HTTPResponse, error)

// after returns a callback that calls own, if it is not nil, and then the hooks. refusal returns
// the error of an answer that refuses.
func (h *Hooks) after(own changer, refusal func(HookResponse) error) changer {
	return func(ctx context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
		var response HTTPResponse
		if own != nil {
			first, err := own(ctx, event)
			if err != nil {
				return first, err
			}
			response.merge(HTTPResponse(first))
		}
		for _, hook := range h.config.Hooks {
			r, err := h.ask(ctx, hook, newRequest(event))
			if err == nil {
				err = refusal(r)
			}
			if err != nil {
				return tusd.HTTPResponse{}, err
			}
			response.merge(r.HTTPResponse)
		}
		return response.response(), nil
	}
}

// ask calls a hook whose answer a request waits for. It logs a failure, of which the client
// learns no more than that it should retry.
func (h *Hooks) ask(ctx context.Context, hook Hook, request HookRequest) (HookResponse, error) {
	response, err := h.invoke(ctx, hook, request)
	if err != nil {
		return response, tusd.ErrInternal.With(err)
	}
	return response, nil
}

// preCreate asks the hooks about a new upload. Each sees the changes of those before.
func (h *Hooks) preCreate(ctx context.Context, event tusd.Event, first tusd.HTTPResponse, changes tusd.FileInfoChanges) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
	var response HTTPResponse
	response.merge(HTTPResponse(first))
	request := newRequest(event)
	request.Event.Upload.apply(FileInfoChanges{ID: changes.ID, MetaData: changes.MetaData, Storage: changes.Storage, Owner: changes.Owner})
	for _, hook := range h.config.Hooks {
		r, err := h.ask(ctx, hook, request)
		if err != nil {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{}, err
		}
		if r.RejectUpload {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{}, tusd.ErrUploadRejected.Refuse(r.HTTPResponse.response())
		}
		response.merge(r.HTTPResponse)
		r.ChangeFileInfo.addTo(&changes)
		request.Event.Upload.apply(r.ChangeFileInfo)
	}
	return response.response(), changes, nil
}

// addTo adds the changes of a hook to those of earlier ones.
func (c FileInfoChanges) addTo(all *tusd.FileInfoChanges) {
	if c.ID != "" {
		all.ID = c.ID
	}
	if c.MetaData != nil {
		all.MetaData = c.MetaData
	}
	if c.Storage != nil {
		all.Storage = c.Storage
	}
	if c.Owner != "" {
		all.Owner = c.Owner
	}
	if !c.Expires.IsZero() {
		all.Expires = c.Expires
	}
}

// apply changes what the next hook sees of a new upload.
func (u *Upload) apply(c FileInfoChanges) {
	if c.ID != "" {
		u.ID = c.ID
	}
	if c.MetaData != nil {
		u.MetaData = textsOf(c.MetaData)
	}
	if c.Storage != nil {
		u.Storage = textsOf(c.Storage)
	}
	if c.Owner != "" {
		u.Owner = c.Owner
	}
}

// preAccess asks the hooks about a request on an upload, unless they have allowed it for some
// time.
func (h *Hooks) preAccess(ctx context.Context, event tusd.Event) error {
	info, err := event.Record(ctx)
	exists := err == nil
	switch {
	case exists:
		event.Upload = info
	case !errors.Is(err, tusd.ErrNotFound): // the hooks decide whether the client may know that it does not exist
		return fmt.Errorf("pre-access: %w", err)
	}
	key := accessKey(event)
	if exists && h.access.allowed(key) {
		return nil
	}
	seconds := -1
	for _, hook := range h.config.Hooks {
		r, err := h.ask(ctx, hook, newRequest(event))
		switch {
		case err != nil:
			return err
		case r.RejectAccess || r.HTTPResponse.isClientError():
			if r.HTTPResponse.StatusCode < 400 { // no success
				r.HTTPResponse.StatusCode = 0
			}
			return tusd.ErrAccessDenied.Refuse(r.HTTPResponse.response())
		}
		if err := r.HTTPResponse.failure(300); err != nil {
			return err
		}
		if !r.silent && (seconds < 0 || r.AllowSeconds < seconds) {
			seconds = r.AllowSeconds
		}
	}
	if exists {
		h.access.allow(key, seconds)
	}
	return nil
}
