package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

const resumeRule = "Upload.WriteChunk: loses nothing"

var faultCases = []testCase{
	{"fault/refused", resumeRule, 0, func(e *env) { sweepFaults(e, Refused, 0) }},
	{"fault/answer-lost", resumeRule, 0, func(e *env) { sweepFaults(e, Lost, 0) }},
	{"fault/source-cut", resumeRule, 0, func(e *env) {
		for _, after := range []int64{0, 1, 999, 40_000} {
			sweepFaults(e, CutSource, after)
		}
	}},
	{"fault/blocked", resumeRule, 0, faultBlocked},
}

const (
	faultSize  = 100_000
	faultChunk = 40_000
	// maxOperations is more than the operations of an upload.
	maxOperations = 100
)

// sweepFaults uploads with the fault at the first operation, the second, and so on, until
// an upload has fewer operations.
func sweepFaults(e *env, form FaultForm, cutAfter int64) {
	for n := int64(1); n <= maxOperations; n++ {
		id := fmt.Sprintf("fault-%d-%d", cutAfter, n)
		faults := &Faults{FailAt: n, Form: form, CutAfter: cutAfter}
		c := &storeClient{store: faults.Wrap(e.composer).Core, lease: e.lease(id), id: id, size: faultSize}
		failures := c.upload(e.Context())
		e.exist[id] = true
		if failures > 1 {
			e.Fatalf("%s at operation %d: the client failed %d times, want at most 1; last error: %v", form, n, failures, c.last)
		}
		e.wantStored(id, faultSize)
		e.reopen()
		e.wantStored(id, faultSize)
		if !faults.Fired() {
			return
		}
	}
	e.Errorf("the upload takes more than %d operations", maxOperations)
}

// storeClient uploads the Content of id to a store. After each failure it continues
// from the stored offset, as a client of the protocol does.
type storeClient struct {
	store tusd.DataStore
	lease tusd.Lease
	id    string
	size  int64
	last  error // of the last failure
}

// upload returns the number of failures. It gives up after the third.
func (c *storeClient) upload(ctx context.Context) (failures int) {
	for failures < 3 {
		err := c.attempt(ctx)
		if err == nil {
			return failures
		}
		failures, c.last = failures+1, err
	}
	return failures
}

// attempt does the rest of the upload.
func (c *storeClient) attempt(ctx context.Context) error {
	upload, err := c.open(ctx)
	if err != nil {
		return err
	}
	for {
		info, err := upload.GetInfo(ctx)
		if err == nil {
			err = upload.MakeDurable(ctx)
		}
		if err != nil {
			return err
		}
		if info.Offset == c.size {
			return upload.FinishUpload(ctx)
		}
		chunk := ContentReader(c.id, info.Offset, min(info.Offset+faultChunk, c.size))
		if _, err := upload.WriteChunk(ctx, info.Offset, chunk); err != nil {
			return err
		}
	}
}

// open creates the upload, or loads it if the answer to its creation was lost.
func (c *storeClient) open(ctx context.Context) (tusd.Upload, error) {
	upload, err := c.store.NewUpload(ctx, c.lease, newInfo(c.id, c.size))
	if errors.Is(err, tusd.ErrUploadExists) {
		return c.store.GetUpload(ctx, c.lease, c.id)
	}
	return upload, err
}

// faultBlocked blocks an operation of one upload. Another upload must not be affected.
func faultBlocked(e *env) {
	for n := int64(1); n <= maxOperations; n++ {
		faults := &Faults{FailAt: n, Form: Blocked}
		id := fmt.Sprintf("blocked-%d", n)
		c := &storeClient{store: faults.Wrap(e.composer).Core, lease: e.lease(id), id: id, size: faultSize}
		done := make(chan int, 1)
		go func() { done <- c.upload(e.Context()) }()
		select {
		case failures := <-done:
			e.exist[id] = true
			e.wantFailures(c, failures, 0)
			return // the upload has fewer operations
		case <-faults.Blocked():
		}
		e.createComplete(fmt.Sprintf("beside-%d", n), 1000)
		faults.Release()
		e.wantFailures(c, <-done, 0)
		e.exist[id] = true
		e.wantStored(id, faultSize)
	}
}

func (e *env) wantFailures(c *storeClient, got, want int) {
	e.Helper()
	if got != want {
		e.Errorf("the client failed %d times, want %d; last error: %v", got, want, c.last)
	}
}
