package protocoltest

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// Header lines of most requests, and the mark of a body of unknown length.
const (
	version = tusclient.Version
	octets  = tusclient.OffsetStream
	chunked = tusclient.Chunked
)

// client sends requests with a tusclient.Client, over one connection as long as the server
// keeps it, and checks the answers.
type client struct {
	env   *env
	plain *tusclient.Client // checks nothing
}

func newClient(e *env) *client {
	dial := func() (wire.Conn, error) {
		e.start()
		return e.protocol.dial(e.server.Listener.Addr().String())
	}
	return &client{env: e, plain: &tusclient.Client{Dial: dial, Keep: true}}
}

// another returns a client with a connection of its own.
func (c *client) another() *client {
	other := newClient(c.env)
	c.env.Cleanup(other.drop)
	return other
}

// drop closes the connection, whatever runs on it.
func (c *client) drop() { c.plain.Close() }

// connect opens the connection before the first request.
func (c *client) connect() {
	c.env.Helper()
	if err := c.plain.Connect(); err != nil {
		c.env.Fatalf("connect: %v", err)
	}
}

// do sends a request and checks what is true of every answer.
func (c *client) do(method, target string, body []byte, header ...string) *answer {
	c.env.Helper()
	a := c.raw(method, target, body, header...)
	a.checkEvery(effectiveMethod(method, header))
	return a
}

// raw sends a request and checks only that there is an answer.
func (c *client) raw(method, target string, body []byte, header ...string) *answer {
	c.env.Helper()
	a, err := c.plain.Do(method, target, body, header...)
	return c.env.answer(method+" "+target, a, err)
}

// answer makes an answer that can be checked. A missing answer is an error of the test.
func (e *env) answer(request string, a tusclient.Answer, err error) *answer {
	e.Helper()
	if err != nil {
		e.Error(err)
		a.Header = make(http.Header)
	}
	return &answer{a, e, request}
}

func effectiveMethod(method string, header []string) string {
	for _, line := range header {
		if override, found := strings.CutPrefix(line, "X-HTTP-Method-Override: "); found {
			return override
		}
	}
	return method
}

// post sends a creation without content.
func (c *client) post(header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodPost, "/files/", nil, append([]string{version}, header...)...)
}

// postWith sends a creation with content.
func (c *client) postWith(body []byte, header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodPost, "/files/", body, append([]string{version, octets}, header...)...)
}

// create makes an upload and returns its target.
func (c *client) create(length int64, header ...string) string {
	c.env.Helper()
	return c.post(append(header, tusclient.LengthOf(length))...).status(201).location()
}

func (c *client) createDeferred(header ...string) string {
	c.env.Helper()
	return c.post(append(header, "Upload-Defer-Length: 1")...).status(201).location()
}

// createFull makes an upload with all its bytes.
func (c *client) createFull(data []byte, header ...string) string {
	c.env.Helper()
	return c.postWith(data, append(header, tusclient.LengthOf(int64(len(data))))...).status(201).location()
}

func (c *client) patch(target string, offset int64, data []byte, header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodPatch, target, data, tusclient.AppendHeader(offset, header...)...)
}

func (c *client) head(target string) *answer {
	c.env.Helper()
	return c.do(http.MethodHead, target, nil, version)
}

func (c *client) get(target string, header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodGet, target, nil, header...)
}

func (c *client) terminate(target string) *answer {
	c.env.Helper()
	return c.do(http.MethodDelete, target, nil, version)
}

// wantOffset checks the offset with a HEAD.
func (c *client) wantOffset(target string, want int64) {
	c.env.Helper()
	c.head(target).status(200).header("Upload-Offset", strconv.FormatInt(want, 10))
}

// offset requests the offset with a HEAD.
func (c *client) offset(target string) int64 {
	c.env.Helper()
	n, err := strconv.ParseInt(c.head(target).status(200).Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		c.env.Errorf("Upload-Offset of %s: %v", target, err)
	}
	return n
}

// openRequest is a request whose body is being sent.
type openRequest struct {
	*tusclient.OpenRequest
	env *env
}

// open sends the head of a PATCH and waits until the server asks for its body: then it has
// the upload's lock.
func (c *client) open(target string, offset, length int64, header ...string) *openRequest {
	c.env.Helper()
	r := c.openNow(target, offset, length, append(header, "Expect: 100-continue")...)
	r.wantContinue()
	return r
}

// openNow sends the head of a PATCH.
func (c *client) openNow(target string, offset, length int64, header ...string) *openRequest {
	c.env.Helper()
	return c.openMethod(http.MethodPatch, target, length, tusclient.AppendHeader(offset, header...)...)
}

// openMethod sends the head of a request.
func (c *client) openMethod(method, target string, length int64, header ...string) *openRequest {
	c.env.Helper()
	c.connect()
	r, err := c.plain.Open(method, target, length, header...)
	if err != nil {
		c.env.Fatal(err)
	}
	return &openRequest{r, c.env}
}

// wantContinue waits until the server asks for the body.
func (r *openRequest) wantContinue() {
	r.env.Helper()
	select {
	case <-r.Continued():
	case <-r.Done():
		response, err := r.Response()
		r.env.Fatalf("%v was answered before its body: %+v, %v", r, response, err)
	case <-time.After(10 * time.Second):
		r.env.Fatalf("%v: the server does not ask for the body", r)
	}
}

// send sends a part of the body.
func (r *openRequest) send(data []byte) {
	r.env.Helper()
	if _, err := r.Write(data); err != nil {
		r.env.Errorf("send a part of a body: %v", err)
	}
}

// sendAndSee sends a part of the body, and waits until the handler has read it.
func (r *openRequest) sendAndSee(data []byte) {
	r.env.Helper()
	want := r.env.received.Load() + int64(len(data))
	r.send(data)
	r.env.eventually("the bytes have arrived", func() bool { return r.env.received.Load() >= want })
}

// end ends the body.
func (r *openRequest) end() {
	r.env.Helper()
	if err := r.CloseWrite(); err != nil {
		r.env.Errorf("end a body: %v", err)
	}
}

// answer waits for the answer.
func (r *openRequest) answer() *answer {
	r.env.Helper()
	plain, err := r.Answer()
	a := r.env.answer(r.String(), plain, err)
	if err == nil {
		a.checkEvery(http.MethodPatch)
	}
	return a
}

// answer is an answer with checks that can be chained.
type answer struct {
	tusclient.Answer
	env     *env
	request string
}

func (a *answer) status(want ...int) *answer {
	a.env.Helper()
	if !slices.Contains(want, a.Status) {
		a.env.Errorf("%s: status %d, want %d; %s", a.request, a.Status, want, a.Body)
	}
	return a
}

func (a *answer) header(name, want string) *answer {
	a.env.Helper()
	if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
		a.env.Errorf("%s: answer %d has %s %q, want %q once", a.request, a.Status, name, got, want)
	}
	return a
}

func (a *answer) headerMatches(name, pattern string) *answer {
	a.env.Helper()
	if got := a.Header.Values(name); len(got) != 1 || !regexp.MustCompile(pattern).MatchString(got[0]) {
		a.env.Errorf("%s: answer %d has %s %q, want one that matches %s", a.request, a.Status, name, got, pattern)
	}
	return a
}

func (a *answer) without(names ...string) *answer {
	a.env.Helper()
	for _, name := range names {
		if got, there := a.Header[http.CanonicalHeaderKey(name)]; there {
			a.env.Errorf("%s: answer %d has %s %q, want none", a.request, a.Status, name, got)
		}
	}
	return a
}

// code checks the error code at the beginning of the body.
func (a *answer) code(want string) *answer {
	a.env.Helper()
	if got, _, _ := strings.Cut(string(a.Body), ":"); got != want {
		a.env.Errorf("%s: answer %d has the code %q, want %q", a.request, a.Status, got, want)
	}
	return a
}

// location returns the target of the Location, which must be an absolute URL of this server.
func (a *answer) location() string {
	a.env.Helper()
	target, found := strings.CutPrefix(a.Header.Get("Location"), a.env.server.URL)
	if !found || !strings.HasPrefix(target, "/files/") || target == "/files/" {
		a.env.Fatalf("%s: Location %q, want an upload below %s/files/", a.request, a.Header.Get("Location"), a.env.server.URL)
	}
	return target
}

var errorBody = regexp.MustCompile(`^ERR_[A-Z_]+: [^\n]+\n$`)

// checkEvery checks what is true of every answer of tus 1.0.
func (a *answer) checkEvery(method string) {
	a.env.Helper()
	if a.Header.Get("Location") != "" && a.Status/100 == 3 {
		return // an answer of the mux
	}
	a.header("Tus-Resumable", "1.0.0").header("X-Content-Type-Options", "nosniff")
	if method == http.MethodHead && len(a.Body) > 0 {
		a.env.Errorf("%s: the answer to HEAD has a body: %q", a.request, a.Body)
	}
	if a.Status >= 400 {
		a.checkError(method)
		return
	}
	if a.Status == http.StatusCreated {
		a.headerMatches("Location", "^https?://")
	}
	if (a.Status == http.StatusCreated || a.Status == http.StatusNoContent) && len(a.Body) > 0 {
		a.env.Errorf("%s: answer %d has a body: %q", a.request, a.Status, a.Body)
	}
	if method == http.MethodHead {
		a.header("Cache-Control", "no-store")
	}
}

func (a *answer) checkError(method string) {
	a.env.Helper()
	a.headerMatches("X-Request-Id", ".")
	if method != http.MethodHead {
		a.header("Content-Type", "text/plain; charset=utf-8")
		if !errorBody.Match(a.Body) {
			a.env.Errorf("%s: answer %d has the body %q, want CODE: message", a.request, a.Status, a.Body)
		}
	}
	switch {
	case a.Status == http.StatusMethodNotAllowed:
		a.headerMatches("Allow", "OPTIONS")
	case a.Status == http.StatusPreconditionFailed && strings.HasPrefix(string(a.Body), "ERR_UNSUPPORTED_VERSION:"):
		a.header("Tus-Version", "1.0.0")
	case a.Status == http.StatusLocked || a.Status >= 500 && a.Status != http.StatusNotImplemented:
		a.headerMatches("Retry-After", "^[0-9]+$")
	}
}
