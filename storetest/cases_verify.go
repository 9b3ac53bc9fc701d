package storetest

import (
	"context"
	"errors"

	"github.com/tus/tusd"
)

var verifyCases = []testCase{
	{"verify/agrees", "Verifier.Verify: what does not agree", Verify, verifyAgrees},
	{"verify/broken-record", "Verifier.Verify: what does not agree", Verify, verifyBroken},
	{"verify/while-changing", "Verifier.Verify: It changes nothing", Verify, verifyWhileChanging},
	{"verify/unknown", "Verifier.Verify: ErrNotFound", Verify, verifyUnknown},
	{"verify/cancelled", "DataStore: counts as transient", Verify, verifyCancelled},
}

func (e *env) wantNoFaults(id string) {
	e.Helper()
	faults, err := e.composer.Verifier.Verify(e.Context(), id)
	if err != nil || len(faults) > 0 {
		e.Errorf("verify %s: faults %q, error %v", id, faults, err)
	}
}

// verifyAgrees verifies uploads in every state, locked and not.
func verifyAgrees(e *env) {
	offsets := createStates(e)
	for range 2 {
		for id := range offsets {
			e.wantNoFaults(id)
		}
		e.wantAllStored(offsets)
		e.reopen()
	}
}

// verifyBroken checks that a broken record is a fault of the upload, not an error.
func verifyBroken(e *env) {
	if e.harness.Break == nil {
		return
	}
	e.createFull("good", 10)
	e.createFull("bad", 10)
	e.release()
	e.harness.Break(e.TB, e.composer, "bad")
	faults, err := e.composer.Verifier.Verify(e.Context(), "bad")
	if err != nil || len(faults) == 0 || faults[0] == "" {
		e.Errorf("verify a broken record: faults %q, error %v", faults, err)
	}
	e.wantNoFaults("good")
}

// verifyWhileChanging verifies an upload that is created, written, finished and removed
// meanwhile. None of these changes is a fault. An error is transient.
func verifyWhileChanging(e *env) {
	ctx, stop := context.WithCancel(e.Context())
	defer stop()
	verified := make(chan struct{})
	go func() {
		for ctx.Err() == nil {
			if faults, err := e.composer.Verifier.Verify(e.Context(), "a"); len(faults) > 0 {
				e.Errorf("verify while the upload changes: faults %q, error %v", faults, err)
				break
			}
		}
		close(verified)
	}()
	for range 5 {
		upload := e.create("a", 50)
		for offset := int64(0); offset < 50; offset += 10 {
			if c := e.composer.AtomicWriter; c != nil && offset%20 == 0 {
				_, err := c.WriteAtomic(e.Context(), upload, offset, ContentReader("a", offset, offset+10))
				e.must(err)
			} else {
				e.write(upload, "a", offset, offset+10)
			}
		}
		e.must(upload.FinishUpload(e.Context()))
		if e.composer.Terminater == nil {
			break
		}
		e.terminate("a")
	}
	stop()
	<-verified
	e.createComplete("b", 50)
	e.wantNoFaults("b")
}

func verifyUnknown(e *env) {
	_, err := e.composer.Verifier.Verify(e.Context(), "never")
	e.wantError("verify an upload that never existed", err, tusd.ErrNotFound)
	if e.composer.Terminater != nil {
		e.createFull("gone", 10)
		e.terminate("gone")
		_, err := e.composer.Verifier.Verify(e.Context(), "gone")
		e.wantError("verify a removed upload", err, tusd.ErrNotFound)
	}
}

func verifyCancelled(e *env) {
	e.createFull("a", 10)
	cause := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(e.Context())
	cancel(cause)
	_, err := e.composer.Verifier.Verify(ctx, "a")
	e.wantError("verify after the end of ctx", err, cause)
}
