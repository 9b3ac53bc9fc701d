package tusd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/internal/deadline"
	"github.com/tus/tusd/internal/forwarded"
)

// exchange is one request and its answer. It is the http.ResponseWriter to which the
// answer is written.
type exchange struct {
	http.ResponseWriter
	h           *Handler
	r           *http.Request
	method      string // the effective one, after X-HTTP-Method-Override
	sentMethod  string // in the request line
	id          string // of the upload; "" is the creation URL
	requestID   string
	dialect     dialect
	offsets     *offsetMembers // for the answer to ErrMismatchedOffset in the IETF draft
	control     http.ResponseController
	deadlines   deadline.Request
	body        body
	unread      deadline.UnreadBody // of the body, when the answer begins
	op          operation
	started     time.Time
	admission   admission
	segmentSize int64 // of a file, see ReadFrom

	prev, next *exchange // in the list of running exchanges

	peer      netip.Addr // not valid: a Unix socket
	createdID string     // id of the upload that the request has created

	firstByte        time.Time // of the answer
	headerValues     [5]string // of the answer, see set
	headerValuesUsed uint8
	unlogged         bool // it has no line in the log
	returned         bool // the handler has returned and not panicked

	status  int
	written int64  // bytes of the answer's content
	code    string // of the error that was answered
	cause   error
}

const overrideField = "X-Http-Method-Override"

// longestMethod is the length of the longest name of a method that is served.
const longestMethod = len(http.MethodOptions)

func newExchange(h *Handler, w http.ResponseWriter, r *http.Request, id string) *exchange {
	x := &exchange{ResponseWriter: w, h: h, r: r, id: id, method: r.Method, sentMethod: r.Method, dialect: undeclared{}, started: time.Now()}
	// OPTIONS stays what it is: servers in front let it pass without credentials.
	if override := r.Header.Get(overrideField); override != "" && r.Method != http.MethodOptions {
		x.method = override
		if len(override) <= longestMethod { // a longer one is not served
			x.method = strings.ToUpper(override)
		}
	}
	x.segmentSize = maxSegmentSize
	x.control = *http.NewResponseController(w)
	x.deadlines.Init(&x.control, h.engine.config.NetworkTimeout, (*deadlineWarner)(h))
	x.body = body{src: http.NoBody, request: r, length: r.ContentLength, deadlines: &x.deadlines}
	x.body.pace = pace{rate: h.engine.config.MinRate, window: h.engine.config.MinRateTime}
	x.peer = forwarded.ParseAddr(r.RemoteAddr)
	if r.Body != nil {
		x.body.src = r.Body
	}
	h.engine.metrics.begun(x.method, x.hasContent())
	h.running.add(x)
	return x
}

// Values of header fields that many answers have, allocated once. To change such a
// field, replace the slice: never modify or append to it.
var (
	nosniff      = []string{"nosniff"}
	varyOrigin   = []string{"Origin"}
	varyOverride = []string{"X-HTTP-Method-Override"}
	varyBoth     = []string{"Origin, X-HTTP-Method-Override"}
	noStore      = []string{"no-store"}
	noContent    = []string{"0"}
	tusResumable = []string{tusVersion}
)

// begin starts the deadlines and sets the header fields that every answer has,
// including those of CORS.
func (x *exchange) begin() error {
	x.deadlines.Start(x.hasContent())
	x.requestID = requestID(x.r.Header.Get("X-Request-Id"))
	header := x.Header()
	x.set("X-Request-Id", x.requestID)
	header["X-Content-Type-Options"] = nosniff
	if deadline.AmbiguousEnd(x.r) {
		header.Set("Connection", "close")
	}
	x.dialect.begin(x)
	if x.sentMethod == http.MethodGet || x.sentMethod == http.MethodHead {
		header["Vary"] = varyOverride
	}
	return x.h.cors.apply(header, x.r.Header.Get("Origin"), x.method, x.h.corsAllowed)
}

// set is Header().Set without an allocation, for the first fields of an answer. name
// has to be in the canonical form.
func (x *exchange) set(name, value string) {
	if int(x.headerValuesUsed) == len(x.headerValues) {
		x.Header().Set(name, value)
		return
	}
	x.headerValues[x.headerValuesUsed] = value
	x.headerValuesUsed++
	x.Header()[name] = x.headerValues[x.headerValuesUsed-1 : x.headerValuesUsed : x.headerValuesUsed]
}

// contentLength sets the Content-Length of the answer.
func (x *exchange) contentLength(n int) {
	if n == 0 {
		x.Header()["Content-Length"] = noContent
		return
	}
	x.set("Content-Length", strconv.Itoa(n))
}

// hasContent reports whether the request has, or may have, a body.
func (x *exchange) hasContent() bool {
	return x.r.ContentLength != 0 && x.r.Body != nil && x.r.Body != http.NoBody
}

// operation returns what the engine needs to know of the request.
func (x *exchange) operation() *operation {
	x.op = operation{ctx: x.r.Context(), from: x, dialect: x.dialect.name(), authorized: x.op.authorized}
	return &x.op
}

// request returns the description of the request for events.
func (x *exchange) request() HTTPRequest {
	header := x.r.Header.Clone()
	header.Set("Host", x.r.Host)
	return HTTPRequest{Method: x.method, URI: x.r.RequestURI, RemoteAddr: x.remoteAddr(), Header: header}
}

// identify implements requestDescriber.
func (x *exchange) identify() RunningRequest {
	return RunningRequest{Method: x.method, RequestID: x.requestID, Client: addressName(x.client())}
}

// uploadID returns the id of the upload that the request uses or has created, "" if
// none.
func (x *exchange) uploadID() string { return cmp.Or(x.id, x.createdID) }

// respond writes an answer: the status and the header fields that are set, and the
// changes of a callback, without those of fields that it may not change.
func (x *exchange) respond(status int, change HTTPResponse) {
	status = cmp.Or(change.StatusCode, status)
	for name, value := range change.Header {
		switch {
		case http.CanonicalHeaderKey(name) == exposedFields:
			expose(x.Header(), value)
		case !isProtocolField(name):
			x.Header().Set(name, printable(value))
		}
	}
	if status != http.StatusNoContent {
		x.contentLength(len(change.Body))
	}
	x.WriteHeader(status)
	if change.Body != "" && x.method != http.MethodHead {
		io.WriteString(x, change.Body) // it fails only if the client has disconnected
	}
}

const plainText = "text/plain; charset=utf-8"

// fail answers an error, counts it, and keeps it for the log line. No other function
// answers errors.
func (x *exchange) fail(err error) {
	e := asError(err)
	if e.Is(ErrInternal) && errors.Is(err, context.Canceled) {
		switch {
		case x.r.Context().Err() != nil:
			e = ErrUnexpectedEOF.With(err) // the client has disconnected
		case x.h.engine.background.Err() != nil:
			e = ErrServerShutdown.With(err) // it interrupts work in the background that a request waits for
		}
	}
	x.code, x.cause = e.Code, err
	if x.status != 0 {
		return // too late for an answer; net/http ends the connection
	}
	status, contentType, content := x.dialect.writeError(x, e)
	x.h.engine.metrics.failed(e.Code, status)
	header := x.Header()
	if e.Transient {
		header.Set("Retry-After", retryAfter(e))
	}
	switch {
	case status == http.StatusMethodNotAllowed:
		header.Set("Allow", x.allowed())
	case e.Is(ErrUnsupportedVersion):
		header.Set("Tus-Version", tusVersion)
	}
	header.Set("Content-Type", contentType)
	response := HTTPResponse{StatusCode: status, Body: content}
	if !e.Transient {
		if e.Response.Body != "" {
			header.Set("Content-Type", plainText) // unless the callback says otherwise
		}
		response = mergeResponses(response, e.Response)
		response.StatusCode = status
	}
	if x.method == http.MethodHead {
		header.Del("Content-Type")
		response.Body = ""
	}
	x.respond(response.StatusCode, response)
}

// allowed returns the value of Allow for the requested URL.
func (x *exchange) allowed() string {
	if x.id == "" {
		return x.h.creationAllow
	}
	return x.h.uploadAllow
}

// end ends the exchange: it flushes the answer, drains the body, stops the deadlines,
// releases the admission and writes the log line.
func (x *exchange) end() {
	http1 := x.r.ProtoMajor == 1
	if x.status != 0 && x.returned && (http1 || x.written > 0) {
		// Flush while the write deadline still applies. In HTTP/2 a header needs no
		// flow-control window, so it can be sent with the end of the stream.
		x.control.Flush()
	}
	if x.status != 0 {
		x.unread.Drain(&x.deadlines)
	}
	x.deadlines.Close(http1)
	x.h.running.remove(x)
	x.h.limits.release(&x.admission)
	x.h.engine.metrics.ended(x.method, x.hasContent(), time.Since(x.started))
	if x.unlogged {
		return
	}
	x.warnAboutProxies()
	x.log()
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter. It stores the status and sets the header
// fields that depend on it.
func (x *exchange) WriteHeader(status int) {
	if x.firstByte.IsZero() {
		x.answering()
	}
	if status >= 200 && x.status == 0 {
		x.status = status
	}
	if status >= 200 {
		x.h.limits.answerBegins(x)
		if x.r.ProtoMajor == 1 && x.hasContent() {
			x.handleUnreadBody()
		}
	}
	if x.method != x.sentMethod || status >= 400 { // a cache sees only the method that was sent
		x.Header()["Cache-Control"] = noStore
	}
	if x.method == http.MethodHead && x.sentMethod != http.MethodHead && status >= 200 {
		x.Header().Set("Content-Length", "0") // HEAD by override: for the method that was sent, content would follow
	}
	x.deadlines.BeforeWrite()
	x.ResponseWriter.WriteHeader(status)
}

// handleUnreadBody decides, before the answer, whether the unread part of the body is
// drained or the connection is closed.
func (x *exchange) handleUnreadBody() {
	switch {
	case x.body.err != io.EOF:
		begun, failed := x.body.started.Load() != 0, x.body.err != nil || x.deadlines.Aborted() != nil
		x.unread = deadline.Leave(x.ResponseWriter, &x.control, x.r, x.r.ContentLength-x.body.received.Load(), begun, failed)
	case x.deadlines.Poisoned():
		x.Header().Set("Connection", "close")
	}
}

// answering stores the time of the first byte of the answer.
func (x *exchange) answering() {
	x.firstByte = time.Now()
	x.h.engine.metrics.answered(x.method, x.firstByte.Sub(x.started))
}

// Write implements http.ResponseWriter. It extends the write deadline: a slow client is
// served as long as it reads.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	x.deadlines.BeforeWrite()
	n, err := x.ResponseWriter.Write(p)
	x.recordSent(int64(n), err)
	return n, err
}

// requestID returns the id that the client gave to the request if it is short and
// safe to log, or a new one.
func requestID(given string) string {
	const longest = 36
	if given != "" && len(given) <= longest && !slices.ContainsFunc([]byte(given), func(c byte) bool { return !requestIDByte(c) }) {
		return given
	}
	return strconv.FormatUint(rand.Uint64()|1<<63, 16)
}

func requestIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}
