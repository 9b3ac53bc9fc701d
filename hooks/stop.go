package hooks

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"github.com/tus/tusd"
)

const (
	// maxStopping limits how many uploads are to be removed at the same time.
	maxStopping = 1000
	// The delay between two attempts to remove a stopped upload. It doubles.
	minStopDelay = 500 * time.Millisecond
	maxStopDelay = time.Minute
	// stopTime is how long an upload that a hook has stopped is tried to be removed, if
	// Config.GiveUpAfter does not say so.
	stopTime = 24 * time.Hour
)

// stop ends the running request on the upload of an event with the answer of a hook, and removes
// the upload. It does not wait for that: pre-finish may hold the lock for minutes.
func (h *Hooks) stop(upload tusd.FileInfo, answer HTTPResponse) {
	key := upload.ID + "\n" + strconv.FormatInt(upload.Created.UnixNano(), 10)
	h.mu.Lock()
	defer h.mu.Unlock()
	if again, ok := h.stopping[key]; ok {
		select {
		case again <- struct{}{}: // its client has come back, so there is a request to end
		default:
		}
		return
	}
	if len(h.stopping) >= maxStopping {
		h.logStop(upload.ID, errors.New("there are too many of them"))
		return
	}
	again := make(chan struct{}, 1)
	h.stopping[key] = again
	h.work.Start(func() {
		defer func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.stopping, key)
		}()
		h.remove(upload, tusd.ErrUploadStopped.Refuse(answer.response()), again)
	})
}

// remove removes a stopped upload, in as many attempts as are needed. again asks for one at once.
func (h *Hooks) remove(upload tusd.FileInfo, answer *tusd.Error, again <-chan struct{}) {
	select {
	case <-h.serving:
	case <-h.ctx.Done():
		return
	}
	giveUp := time.Now().Add(cmp.Or(h.config.GiveUpAfter, stopTime))
	for delay := minStopDelay; ; delay = min(2*delay, maxStopDelay) {
		err := h.handler.TerminateWith(h.ctx, upload, answer)
		switch {
		case err == nil:
			return
		case errors.Is(err, tusd.ErrNotFound):
			h.config.Logger.Debug("an upload that a hook has stopped does not exist any more", "id", upload.ID)
			return
		case errors.Is(err, tusd.ErrNotImplemented) || h.ctx.Err() != nil || errors.Is(err, tusd.ErrServerShutdown) || time.Now().After(giveUp):
			h.logStop(upload.ID, err)
			return
		case delay == minStopDelay:
			h.config.Logger.Warn("an upload that a hook has stopped cannot be removed yet", "id", upload.ID, "err", err)
		}
		select {
		case <-time.After(delay):
		case <-again:
		case <-h.ctx.Done():
		}
	}
}

func (h *Hooks) logStop(id string, err error) {
	h.config.Logger.Error("an upload that a hook has stopped could not be removed", "id", id, "err", err)
}
