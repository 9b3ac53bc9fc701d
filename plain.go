package tusd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// What is not of one dialect: the choice between them for each method, and
// downloads, which are part of none.

// serveOptions tells what the server can, in both dialects.
func serveOptions(x *exchange) {
	tusOptions(x)
	if !x.h.engine.config.DisableIETF {
		rufhOptions(x)
	}
	x.respond(http.StatusOK, HTTPResponse{})
}

// serveCreation serves requests on the creation URL.
func serveCreation(x *exchange) error {
	switch {
	case x.dialect == DialectIETF:
		return rufhCreate(x)
	case x.method == http.MethodPost:
		return tusCreate(x)
	}
	return ErrMethodNotAllowed
}

// serveAppend serves PATCH on an upload.
func serveAppend(x *exchange) error {
	if x.dialect == DialectIETF {
		return rufhAppend(x)
	}
	return tusAppend(x)
}

// serveStatus serves HEAD on an upload. Without a mark of a dialect it tells
// of a complete upload what a download would, and of another one what its
// creator's dialect has to say.
func serveStatus(x *exchange) error {
	if x.dialect == DialectIETF {
		return rufhStatus(x)
	}
	if x.marked {
		return tusStatus(x)
	}
	err := x.sendComplete()
	if errors.Is(err, ErrIncompleteUpload) {
		return x.asCreator(rufhStatus, ErrUnsupportedVersion)
	}
	return err
}

// serveDownload serves GET on an upload. In the IETF draft's dialect it tells
// of an incomplete one what HEAD does.
func serveDownload(x *exchange) error {
	err := x.sendComplete()
	switch {
	case !errors.Is(err, ErrIncompleteUpload):
		return err
	case x.dialect == DialectIETF:
		return rufhStatus(x)
	case x.marked:
		return err
	}
	return x.asCreator(rufhStatus, err)
}

// serveTermination serves DELETE on an upload.
func serveTermination(x *exchange) error {
	switch {
	case x.dialect == DialectIETF:
		return rufhTerminate(x)
	case x.marked:
		return x.terminate()
	}
	return x.asCreator(rufhTerminate, ErrUnsupportedVersion)
}

// asCreator serves a request without a mark on an upload that the IETF
// draft's dialect has made; all others get otherwise.
func (x *exchange) asCreator(serve func(*exchange) error, otherwise error) error {
	info, err := x.h.engine.creator(x.call(), x.id)
	if err != nil {
		return err
	}
	if info.Dialect != DialectIETF || x.h.engine.config.DisableIETF {
		return otherwise
	}
	x.speakRufh()
	return serve(x)
}

// terminate removes the upload (tus: Termination; draft: Upload Cancellation).
func (x *exchange) terminate() error {
	res, err := x.h.engine.terminate(x.call(), x.id)
	if err == nil {
		x.respond(http.StatusNoContent, res.response)
	}
	return err
}

// sendComplete answers with the content of a complete upload.
func (x *exchange) sendComplete() error {
	upload, info, err := x.h.engine.download(x.call(), x.id)
	if err != nil {
		return err
	}
	err = x.send(upload, info)
	if err == nil || x.status != 0 {
		return err
	}
	if _, _, gone := x.h.engine.peek(x.r.Context(), x.id); errors.Is(gone, ErrNotFound) {
		return gone // removed since it was found
	}
	return err
}

// send answers with content, as harmless as content from strangers can be
// made for a browser, and says in both dialects that the upload is complete.
func (x *exchange) send(upload Upload, info FileInfo) error {
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
	if x.rufh != nil {
		x.tellRufh(info)
	} else {
		header.Set("Upload-Offset", formatInt(info.Offset))
		header.Set("Upload-Length", formatInt(info.Size))
		header.Set("Upload-Complete", "?1")
		x.tellDigest(info)
		if info.Dialect == DialectIETF && !x.h.engine.config.DisableIETF {
			header.Set("Upload-Limit", x.h.uploadLimit())
		}
	}
	if server := x.h.engine.store.ContentServer; server != nil {
		answer := contentAnswer{exchange: x}
		err := server.ServeContent(x.r.Context(), upload, &answer, x.contentRequest(info.Size))
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
	return x.stream(upload, info)
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
