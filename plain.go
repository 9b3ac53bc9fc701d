package tusd

import (
	"errors"
	"io"
	"net/http"
)

// Requests that carry no mark of a dialect, and downloads, which are part of
// none.

// plainStatus serves a HEAD without a mark: of a complete upload it tells
// what a download would.
func plainStatus(x *exchange) error {
	upload, info, err := x.h.engine.download(x.call(), x.id)
	if errors.Is(err, ErrIncompleteUpload) {
		return ErrUnsupportedVersion
	}
	if err != nil {
		return err
	}
	return x.send(upload, info)
}

// serveDownload serves GET on an upload.
func serveDownload(x *exchange) error {
	upload, info, err := x.h.engine.download(x.call(), x.id)
	if err != nil {
		return err
	}
	return x.send(upload, info)
}

// send answers with the content of a complete upload, as harmless as content
// from strangers can be made for a browser, and says in both dialects that
// the upload is complete.
func (x *exchange) send(upload Upload, info FileInfo) error {
	header := x.Header()
	contentType, disposition := contentHeaders(info.MetaData)
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", disposition)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("Upload-Offset", formatInt(info.Offset))
	header.Set("Upload-Length", formatInt(info.Size))
	header.Set("Upload-Complete", "?1")
	if server := x.h.engine.store.ContentServer; server != nil {
		err := server.ServeContent(x.r.Context(), upload, x, x.r)
		if err != nil && x.status == 0 {
			dropContentHeaders(header)
		}
		return err
	}
	return x.stream(upload, info)
}

// stream serves from a store that knows no ranges.
func (x *exchange) stream(upload Upload, info FileInfo) error {
	content, err := upload.GetReader(x.r.Context())
	if err != nil {
		dropContentHeaders(x.Header())
		return err
	}
	defer content.Close()
	x.Header().Set("Content-Length", formatInt(info.Size))
	x.WriteHeader(http.StatusOK)
	if x.method != http.MethodHead {
		_, err = io.Copy(x, content)
	}
	return err
}

// dropContentHeaders takes back what described content that cannot be sent.
func dropContentHeaders(header http.Header) {
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Security-Policy", "Content-Length",
		"Upload-Offset", "Upload-Length", "Upload-Complete"} {
		header.Del(name)
	}
}
