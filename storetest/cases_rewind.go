package storetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing/iotest"

	"github.com/tus/tusd"
)

const rewindRule = "Rewinder.Rewind: never come back"

var rewindCases = []testCase{
	{"rewind/small", "Rewinder.Rewind: ErrUnverified", Rewind, func(e *env) { testRewind(e, 1000, 3000) }},
	{"rewind/large", rewindRule, Rewind, func(e *env) { testRewind(e, 1000, e.harness.LargestUpload-1000) }},
	{"rewind/first", rewindRule, Rewind, func(e *env) { testRewind(e, 0, e.harness.LargestUpload-1) }},
	{"rewind/large-upload", rewindRule, Rewind, func(e *env) { testRewind(e, e.harness.LargestUpload-1000, 900) }},
	{"rewind/empty", rewindRule, Rewind, func(e *env) { testRewind(e, 1000, 0) }},
	{"rewind/deferred", rewindRule, Rewind, rewindDeferred},
	{"rewind/reads", "Rewinder.ReadsIncomplete: reports whether", Rewind, rewindReads},
	{"rewind/again", "Rewinder.Rewind: called again", Rewind, rewindAgain},
	{"rewind/lease-lost", rewindRule, Rewind, rewindLeaseLost},
}

// unverified returns content of another upload that ends with ErrUnverified.
func unverified(n int64) io.Reader {
	return io.MultiReader(ContentReader("other", 0, n), iotest.ErrReader(tusd.ErrUnverified))
}

// testRewind stores some bytes, rolls n further bytes back, and completes the upload.
func testRewind(e *env, stored, n int64) {
	e.Helper()
	size := e.harness.LargestUpload
	upload := e.create("a", size)
	e.write(upload, "a", 0, stored)
	e.rewindUnverified(upload, stored, n)
	if got := e.info(upload).Offset; got != stored {
		e.Errorf("the same value shows offset %d, want %d", got, stored)
	}
	e.wantStored("a", stored)
	e.rewindUnverified(e.load("a"), stored, n)
	e.wantStored("a", stored)
	e.reopen()
	e.wantStored("a", stored)
	e.write(e.load("a"), "a", stored, size)
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", size)
	e.reopen()
	e.wantStored("a", size)
}

// rewindUnverified writes a chunk that is not verified and rolls it back.
func (e *env) rewindUnverified(upload tusd.Upload, offset, n int64) {
	e.Helper()
	if _, err := upload.WriteChunk(e.Context(), offset, unverified(n)); !errors.Is(err, tusd.ErrUnverified) {
		e.Errorf("WriteChunk: error %v, want one that matches that of its source", err)
	}
	e.must(e.composer.Rewinder.Rewind(e.Context(), upload, offset))
}

func rewindDeferred(e *env) {
	upload := e.createDeferred("a")
	e.write(upload, "a", 0, 33)
	e.rewindUnverified(upload, 33, 100<<10)
	e.wantStored("a", 33)
	e.reopen()
	e.write(e.load("a"), "a", 33, 50)
	e.wantStored("a", 50)
}

func rewindReads(e *env) {
	upload := e.create("a", 100<<10)
	wrong := strings.Repeat("x", 50<<10)
	n, err := upload.WriteChunk(e.Context(), 0, io.MultiReader(strings.NewReader(wrong), iotest.ErrReader(tusd.ErrUnverified)))
	if !e.composer.Rewinder.ReadsIncomplete() {
		if _, err := upload.GetReader(e.Context()); !errors.Is(err, tusd.ErrIncompleteUpload) {
			e.Errorf("GetReader: error %v, want ErrIncompleteUpload", err)
		}
		return
	}
	if n != int64(len(wrong)) {
		e.Errorf("WriteChunk: %d bytes, error %v, want all %d", n, err, len(wrong))
	}
	reader, err := upload.GetReader(e.Context())
	e.must(err)
	defer reader.Close()
	if got, err := io.ReadAll(reader); err != nil || string(got) != wrong {
		e.Errorf("%d bytes can be read, error %v, want those that were written", len(got), err)
	}
}

func rewindLeaseLost(e *env) {
	upload := e.create("a", 100<<10)
	e.write(upload, "a", 0, 100)
	upload.WriteChunk(e.Context(), 100, unverified(1000))
	e.lease("a").lose(tusd.ErrLockLost)
	if err := e.composer.Rewinder.Rewind(e.Context(), upload, 100); err == nil {
		e.Error("Rewind without the lease succeeds")
	}
}

func rewindAgain(e *env) {
	size := e.harness.LargestUpload
	e.write(e.create("a", size), "a", 0, 1000)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		upload := e.load("a")
		if _, err := upload.WriteChunk(e.Context(), 1000, unverified(size-2000)); !errors.Is(err, tusd.ErrUnverified) {
			e.Errorf("WriteChunk: error %v, want one that matches that of its source", err)
		}
		err := e.composer.Rewinder.Rewind(ctx, upload, 1000)
		if err != nil {
			e.must(e.composer.Rewinder.Rewind(e.Context(), upload, 1000))
		}
		e.wantStored("a", 1000)
		return err
	})
	e.write(e.load("a"), "a", 1000, size)
	e.wantStored("a", size)
}
