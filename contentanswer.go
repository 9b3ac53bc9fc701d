package tusd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// The answer with the content of a complete upload, which is of no dialect.

// sendComplete answers with the content of a complete upload.
func (x *exchange) sendComplete() error {
	content, info, err := x.h.engine.download(x.call(), x.id)
	if err != nil {
		return err
	}
	err = x.send(content, info)
	if err == nil || x.status != 0 {
		return err
	}
	return cmp.Or(x.h.engine.removed(x.r.Context(), x.id), err)
}

// send answers with content, as harmless as content from strangers can be
// made for a browser.
func (x *exchange) send(content storedContent, info FileInfo) error {
	header := x.Header()
	contentType, disposition := contentHeaders(info.MetaData)
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", disposition)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if x.h.engine.config.Callbacks.PreAccess != nil {
		header.Set("Cache-Control", "private") // others have to be asked for
	}
	if coding := info.MetaData["contentencoding"]; info.Dialect == DialectIETF && codingList(coding) {
		header.Set("Content-Encoding", coding)
	}
	x.dialect.setContentFields(x, info)
	if !content.hasRanges() {
		return x.stream(content, info)
	}
	answer := contentAnswer{exchange: x}
	err := content.serve(x.r.Context(), &answer, x.contentRequest(info.Size))
	if err = cmp.Or(err, answer.refusal); err != nil && x.status == 0 {
		sized := header["Content-Range"]
		dropContentHeaders(header)
		if errors.Is(err, ErrRangeNotSatisfiable) && sized != nil {
			header["Content-Range"] = sized // tells how many bytes there are
		}
		return err
	}
	x.unreadable(err)
	x.sentAll()
	return nil
}

// contentAnswer is an exchange whose content server refuses what the request asks
// for: that becomes an error, which is answered like all others.
type contentAnswer struct {
	*exchange
	refusal error
}

// WriteHeader implements http.ResponseWriter.
func (a *contentAnswer) WriteHeader(status int) {
	switch {
	case status < 400 || a.status != 0:
		a.exchange.WriteHeader(status)
	case status == http.StatusPreconditionFailed:
		a.refusal = ErrPreconditionFailed
	case status == http.StatusRequestedRangeNotSatisfiable:
		a.refusal = ErrRangeNotSatisfiable
	default:
		a.refusal = fmt.Errorf("the content server answers with status %d", status)
	}
}

// Write implements http.ResponseWriter.
func (a *contentAnswer) Write(p []byte) (int, error) {
	if a.refusal != nil {
		return len(p), nil
	}
	return a.exchange.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (a *contentAnswer) ReadFrom(src io.Reader) (int64, error) {
	if a.refusal != nil {
		return io.Copy(io.Discard, src)
	}
	return a.exchange.ReadFrom(src)
}

// stream serves from a store that knows no ranges.
func (x *exchange) stream(stored storedContent, info FileInfo) error {
	content, err := stored.open(x.r.Context())
	if err != nil {
		dropContentHeaders(x.Header())
		return err
	}
	defer content.Close()
	x.Header().Set("Content-Length", formatInt(info.Size))
	x.WriteHeader(http.StatusOK)
	if x.method != http.MethodHead {
		x.ReadFrom(content)
		x.sentAll()
	}
	return nil
}

// dropContentHeaders takes back what described content that cannot be sent.
func dropContentHeaders(header http.Header) {
	for _, name := range []string{"Cache-Control", "Content-Type", "Content-Disposition", "Content-Security-Policy", "Content-Encoding",
		"Content-Length", "Content-Range", "Accept-Ranges", "Etag", "Last-Modified", "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Incomplete", "Upload-Limit", "Repr-Digest"} {
		header.Del(name)
	}
}
