package storetest

import (
	"context"
	"time"

	"github.com/tus/tusd"
)

// readable reports whether the bytes of an upload can be read. If not, it checks
// that the store answers ErrIncompleteUpload.
func (e *env) readable(upload tusd.Upload) bool {
	e.Helper()
	if !e.harness.Unreadable || e.info(upload).Full() {
		return true
	}
	r, err := upload.GetReader(e.Context())
	if err == nil {
		r.Close()
	}
	e.wantError("GetReader of an incomplete upload", err, tusd.ErrIncompleteUpload)
	return false
}

// readUnread completes the uploads whose bytes a case could not compare, and
// compares them.
func (e *env) readUnread() {
	e.Helper()
	if len(e.unread) == 0 || e.Failed() {
		return
	}
	e.release()
	for id := range e.unread {
		if e.exist[id] {
			e.completeAndRead(id)
		}
	}
}

func (e *env) completeAndRead(id string) {
	e.Helper()
	upload := e.load(id)
	info := e.info(upload)
	if info.SizeIsDeferred {
		info.Size = info.Offset
		e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, info.Size))
	}
	if info.Offset < info.Size {
		e.write(upload, id, info.Offset, info.Size)
	}
	ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
	defer cancel()
	e.must(upload.FinishUpload(ctx))
	e.wantStored(id, info.Size)
}
