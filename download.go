package tusd

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// download loads a complete upload for reading. Its offset, which the answer shows, is
// durable. It takes no lock, so downloads do not wait for each other or for a request
// that changes the upload.
func (e *engine) download(op *operation, id string) (storedContent, FileInfo, error) {
	if err := e.authorize(op, id); err != nil {
		return storedContent{}, FileInfo{}, err
	}
	upload, info, err := e.peek(op.ctx, id)
	switch {
	case err != nil:
		return storedContent{}, info, err
	case info.State == StateFailed:
		return storedContent{}, info, failedError(&info)
	case info.State != StateComplete && e.finishing.Locked(id):
		return storedContent{}, info, ErrUploadFinishing
	case e.needsFinish(&info):
		e.finishLater(id)
		return storedContent{}, info, ErrUploadFinishing
	case e.isExpired(&info):
		return storedContent{}, info, ErrUploadExpired
	case !info.Complete():
		return storedContent{}, info, ErrIncompleteUpload
	}
	err = e.makeDurable(op.ctx, id, upload)
	return storedContent{upload, e.store.ContentServer}, info, err
}

// storedContent is the content of a complete upload in the store.
type storedContent struct {
	upload Upload
	server ContentServer // nil: the store has no ranges
}

func (s storedContent) hasRanges() bool { return s.server != nil }

// serve answers r, with ranges and conditions.
func (s storedContent) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	return s.server.ServeContent(ctx, s.upload, w, r)
}

// open returns a reader of all of the content.
func (s storedContent) open(ctx context.Context) (io.ReadCloser, error) {
	return s.upload.GetReader(ctx)
}

// checkExists returns ErrNotFound if the upload does not exist any more.
func (e *engine) checkExists(ctx context.Context, id string) error {
	_, _, err := e.peek(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}
