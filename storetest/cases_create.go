package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd"
)

var claimCases = []testCase{
	{"claims", "StoreComposer.UseCore: every ability / wraps another", 0, claimsMatch},
}

func claimsMatch(e *env) {
	if got := claimsOf(e.composer); got != e.harness.Claims {
		e.Errorf("the composer has the abilities %07b, claimed are %07b", got, e.harness.Claims)
	}
}

var createCases = []testCase{
	{"create/found", "DataStore.NewUpload: found by GetUpload", 0, createFound},
	{"create/exclusive", "DataStore.NewUpload: ErrUploadExists", 0, createExclusive},
	{"create/exclusive-complete", "DataStore.NewUpload: never emptied", 0, createExclusiveComplete},
	{"create/beside-each-other", "DataStore: concurrently", 0, createConcurrently},
	{"create/cancelled", "DataStore.NewUpload: After any error", 0, createCancelled},
	{"load/not-found", "DataStore.GetUpload: absence", 0, loadNotFound},
	{"load/broken", "DataStore.GetUpload: ErrBroken", Terminate, loadBroken},
	{"load/no-lease", "DataStore.GetUpload: nil lease", 0, loadWithoutLease},
	{"load/needs-no-closing", "Upload: no closing", 0, loadOften},
}

func createFound(e *env) {
	upload := e.create("a", 10)
	if len(e.info(upload).Storage) == 0 {
		e.Error("Storage of the new upload is empty")
	}
	e.wantStored("a", 0)
	e.reopen()
	e.wantStored("a", 0)
	if size := e.info(e.view("a")).Size; size != 10 {
		e.Errorf("Size is %d, want 10", size)
	}
}

func createExclusive(e *env) {
	upload := e.create("a", 100)
	e.write(upload, "a", 0, 40)
	_, err := e.store.NewUpload(e.Context(), e.lease("a"), newInfo("a", 7))
	e.wantError("create a second time", err, tusd.ErrUploadExists)
	e.wantStored("a", 40)
	e.reopen()
	_, err = e.store.NewUpload(e.Context(), e.lease("a"), newInfo("a", 7))
	e.wantError("create after a restart", err, tusd.ErrUploadExists)
	e.wantStored("a", 40)
	e.write(e.load("a"), "a", 40, 100)
	e.wantStored("a", 100)
}

func createExclusiveComplete(e *env) {
	e.createComplete("a", 100)
	_, err := e.store.NewUpload(e.Context(), e.lease("a"), newInfo("a", 7))
	e.wantError("create over a complete upload", err, tusd.ErrUploadExists)
	e.wantStored("a", 100)
	if size := e.info(e.view("a")).Size; size != 100 {
		e.Errorf("Size is %d after the refusal, want 100", size)
	}
}

func createConcurrently(e *env) {
	const uploads = 16
	var failed atomic.Int64
	var wg sync.WaitGroup
	for i := range uploads {
		id := fmt.Sprintf("upload-%d", i)
		lease := e.lease(id)
		wg.Go(func() {
			if err := uploadWhole(e.Context(), e.store, lease, id, 1000); err != nil {
				e.Errorf("%s: %v", id, err)
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	for i := range uploads - failed.Load() {
		id := fmt.Sprintf("upload-%d", i)
		e.exist[id] = true
		e.wantStored(id, 1000)
	}
}

// uploadWhole creates, writes and finishes an upload.
func uploadWhole(ctx context.Context, store tusd.DataStore, lease tusd.Lease, id string, size int64) error {
	upload, err := store.NewUpload(ctx, lease, newInfo(id, size))
	if err != nil {
		return err
	}
	if _, err := upload.WriteChunk(ctx, 0, ContentReader(id, 0, size)); err != nil {
		return err
	}
	return upload.FinishUpload(ctx)
}

func createCancelled(e *env) {
	e.sweepCancel(func(ctx context.Context, look int) error {
		id := fmt.Sprintf("cut-%d", look)
		_, err := e.store.NewUpload(ctx, e.lease(id), newInfo(id, 10))
		if err == nil {
			e.exist[id] = true
			return nil
		}
		e.wantGone(id)
		e.create(id, 10) // the id is free
		e.wantStored(id, 0)
		return err
	})
}

func loadNotFound(e *env) {
	e.wantGone("a")
	e.create("ab", 1)
	e.wantGone("a")
	e.reopen()
	e.wantGone("a")
}

func loadBroken(e *env) {
	if e.harness.Break == nil {
		return
	}
	e.createFull("good", 10)
	e.createFull("bad", 10)
	e.unlock("bad")
	e.harness.Break(e.TB, e.composer, "bad")
	for _, lease := range []tusd.Lease{nil, e.lease("bad")} {
		_, err := e.store.GetUpload(e.Context(), lease, "bad")
		e.wantError("load a broken record", err, tusd.ErrNotFound)
		e.wantError("load a broken record", err, tusd.ErrBroken)
	}
	e.must(e.composer.Terminater.Terminate(e.Context(), e.lease("bad"), "bad"))
	delete(e.exist, "bad")
	e.wantGone("bad")
	e.create("bad", 10)
	e.wantStored("good", 10)
}

func loadWithoutLease(e *env) {
	e.write(e.create("a", 10), "a", 0, 5)
	ctx, upload := e.Context(), e.view("a")
	e.must(upload.MakeDurable(ctx))
	n, err := upload.WriteChunk(ctx, 5, strings.NewReader("12345"))
	e.wantError("WriteChunk", err, tusd.ErrNoLease)
	if n != 0 {
		e.Errorf("WriteChunk without a lease claims %d bytes", n)
	}
	e.wantError("UpdateInfo", upload.UpdateInfo(ctx, func(*tusd.FileInfo) error { return nil }), tusd.ErrNoLease)
	e.wantError("FinishUpload", upload.FinishUpload(ctx), tusd.ErrNoLease)
	if c := e.composer.AtomicWriter; c != nil {
		_, err := c.WriteAtomic(ctx, upload, 5, strings.NewReader("12345"))
		e.wantError("WriteAtomic", err, tusd.ErrNoLease)
	}
	if c := e.composer.Rewinder; c != nil {
		e.wantError("Rewind", c.Rewind(ctx, upload, 4), tusd.ErrNoLease)
	}
	if c := e.composer.LengthDeferrer; c != nil {
		e.createDeferred("deferred")
		e.wantError("DeclareLength", c.DeclareLength(ctx, e.view("deferred"), 10), tusd.ErrNoLease)
	}
	if c := e.composer.Concater; c != nil {
		part := e.createComplete("part", 10)
		e.create("final", 10)
		e.wantError("Concat", c.Concat(ctx, e.view("final"), []tusd.Upload{part}), tusd.ErrNoLease)
		e.wantStored("final", 0)
	}
	e.wantStored("a", 5)
}

func loadOften(e *env) {
	e.createFull("a", 100)
	for range 200 {
		e.info(e.load("a"))
		e.info(e.view("a"))
	}
	e.wantStored("a", 100)
}
