package storetest

import (
	"context"

	"github.com/tus/tusd"
)

var terminateCases = []testCase{
	{"terminate/every-state", "Terminater.Terminate: broken records", Terminate, terminateEveryState},
	{"terminate/twice", "Terminater.Terminate: ErrNotFound", Terminate, terminateTwice},
	{"terminate/stays-gone", "Terminater.Terminate: comes back", Terminate, terminateStaysGone},
	{"terminate/cancelled", "Terminater.Terminate: called again", Terminate, terminateCancelled},
}

func (e *env) terminate(id string) {
	e.Helper()
	if err := e.composer.Terminater.Terminate(e.Context(), e.lease(id), id); err != nil {
		e.Fatalf("terminate %s: %v", id, err)
	}
	delete(e.exist, id)
}

func terminateEveryState(e *env) {
	e.create("fresh", 100)
	e.write(e.create("half", 100), "half", 0, 50)
	e.createFull("full", 100)
	e.createComplete("complete", 100)
	e.createComplete("empty", 0)
	e.write(e.createDeferred("deferred"), "deferred", 0, 10)
	failed := e.create("failed", 100)
	e.must(failed.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateFailed
		return nil
	}))
	e.createComplete("stays", 100)
	for _, id := range []string{"fresh", "half", "full", "complete", "empty", "deferred", "failed"} {
		e.terminate(id)
		e.wantGone(id)
	}
	e.wantStored("stays", 100)
}

func terminateTwice(e *env) {
	err := e.composer.Terminater.Terminate(e.Context(), e.lease("never"), "never")
	e.wantError("terminate an upload that never existed", err, tusd.ErrNotFound)
	e.createFull("a", 10)
	e.terminate("a")
	err = e.composer.Terminater.Terminate(e.Context(), e.lease("a"), "a")
	e.wantError("terminate a second time", err, tusd.ErrNotFound)
}

func terminateStaysGone(e *env) {
	e.createComplete("a", 100)
	e.write(e.create("b", 100), "b", 0, 50)
	e.terminate("a")
	e.terminate("b")
	e.reopen()
	e.wantGone("a")
	e.wantGone("b")
	e.create("a", 7) // the id is free, and the new upload is empty
	e.wantStored("a", 0)
	e.write(e.load("a"), "a", 0, 7)
	e.wantStored("a", 7)
}

func terminateCancelled(e *env) {
	e.sweepCancel(func(ctx context.Context, _ int) error {
		e.createFull("a", 100)
		err := e.composer.Terminater.Terminate(ctx, e.lease("a"), "a")
		if err != nil {
			again := e.composer.Terminater.Terminate(e.Context(), e.lease("a"), "a")
			if again != nil {
				e.wantError("terminate again", again, tusd.ErrNotFound)
			}
		}
		delete(e.exist, "a")
		e.wantGone("a")
		return err
	})
}
