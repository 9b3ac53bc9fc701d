package filestore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"

	"github.com/tus/tusd"
)

// GetReader implements tusd.Upload.
func (u *upload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	f, _, err := u.openContent(ctx)
	if err != nil {
		return nil, failed("read upload", u.id, err)
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{io.NewSectionReader(f, 0, u.current().Offset), f}, nil
}

// ServeContent implements tusd.ContentServer.
func (s *FileStore) ServeContent(ctx context.Context, up tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	if !u.current().Complete() {
		return tusd.ErrIncompleteUpload
	}
	f, stat, err := u.openContent(ctx)
	if err != nil {
		return failed("serve upload", u.id, err)
	}
	defer f.Close()
	w.Header().Set("ETag", etag(u.id, stat))
	http.ServeContent(w, r, "", stat.ModTime(), f) // an *os.File, so that the kernel sends it
	return nil
}

// openContent opens the data for reading.
func (u *upload) openContent(ctx context.Context) (*os.File, fs.FileInfo, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	f, err := u.data.tree.OpenOS(u.data.name)
	if err != nil {
		return nil, nil, err
	}
	stat, err := f.Stat()
	if err == nil && stat.Size() < u.current().Offset {
		err = fmt.Errorf("the data has %d bytes, no longer %d", stat.Size(), u.current().Offset)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, stat, nil
}

// etag returns a strong entity tag: complete data does not change, and another
// upload with this id has another time. The tag does not reveal the id, which may
// be a secret.
func etag(id string, data fs.FileInfo) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", id, data.Size(), data.ModTime().UnixNano()))
	return fmt.Sprintf(`"%x"`, sum[:16])
}
