package protocoltest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// The tests of the IETF draft "Resumable Uploads for HTTP" are scenarios, like
// those of tus 1.0. Rnn is the number of the scenario in the list of test cases
// for the draft that this server must pass.

const appendType = tusclient.PartialUpload

// interopVersions are the versions of the draft that the server speaks. 0 is a client that
// names no version.
var interopVersions = []int{0, 3, 4, 5, 6, 7, 8, 9}

// runIETF is run with the draft enabled.
func runIETF(t *testing.T, scenarios []scenario) {
	t.Helper()
	for i, s := range scenarios {
		scenarios[i].test = func(e *env) {
			e.config.DisableIETF = false
			s.test(e)
		}
	}
	run(t, scenarios)
}

// ietfClient is a client of the IETF draft in one interop version.
type ietfClient struct {
	*client
	interop int
}

func (e *env) ietf(interop int) *ietfClient { return &ietfClient{e.client, interop} }

// newest runs a test in the newest version.
func newest(test func(*ietfClient)) func(*env) {
	return func(e *env) { test(e.ietf(9)) }
}

// everyVersion runs a test in all versions, one after another.
func everyVersion(test func(*ietfClient)) func(*env) {
	return func(e *env) {
		for _, interop := range interopVersions {
			test(e.ietf(interop))
		}
	}
}

// everyNamed is everyVersion without version 0, in which only creations and appends have a
// mark of the dialect.
func everyNamed(test func(*ietfClient)) func(*env) {
	return everyVersion(func(d *ietfClient) {
		if d.interop != 0 {
			test(d)
		}
	})
}

func (d *ietfClient) version() tusclient.Interop { return tusclient.Interop(d.interop) }

// header is the header of every request of this version.
func (d *ietfClient) header(more ...string) []string { return d.version().Header(more...) }

// completeness is the header line that tells whether a request completes the upload.
func (d *ietfClient) completeness(complete bool) string { return d.version().Complete(complete) }

func (d *ietfClient) completeField(complete bool) (name, value string) {
	return d.version().CompleteField(complete)
}

// do sends a request and checks what is true of every answer.
func (d *ietfClient) do(method, target string, body []byte, header ...string) *answer {
	d.env.Helper()
	return d.checkEvery(d.raw(method, target, body, d.header(header...)...), method)
}

// create sends a creation.
func (d *ietfClient) create(complete bool, body []byte, header ...string) *answer {
	d.env.Helper()
	return d.do(http.MethodPost, "/files/", body, append(header, d.completeness(complete))...)
}

// begin makes an upload without content and returns its target.
func (d *ietfClient) begin(header ...string) string {
	d.env.Helper()
	return d.create(false, nil, header...).status(201).location()
}

// appendHeader is the header of a PATCH.
func (d *ietfClient) appendHeader(offset int64, complete bool, header ...string) []string {
	return d.version().AppendHeader(offset, complete, header...)
}

func (d *ietfClient) append(target string, offset int64, complete bool, body []byte, header ...string) *answer {
	d.env.Helper()
	return d.do(http.MethodPatch, target, body, d.appendHeader(offset, complete, header...)...)
}

// appended is the status of a PATCH that succeeds.
func (d *ietfClient) appended() int {
	if d.interop >= 3 && d.interop <= 6 {
		return 201
	}
	return 204
}

// head requests the offset. A HEAD without a mark of a complete upload is answered as a
// download, with the fields of the draft.
func (d *ietfClient) head(target string) *answer {
	d.env.Helper()
	if d.interop == 0 {
		a := d.raw(http.MethodHead, target, nil)
		if a.Status == 200 {
			return a.header("Upload-Complete", "?1")
		}
		return d.checkEvery(a, http.MethodHead)
	}
	return d.do(http.MethodHead, target, nil)
}

func (d *ietfClient) cancel(target string) *answer {
	d.env.Helper()
	return d.do(http.MethodDelete, target, nil)
}

// want checks the offset and the completeness with a HEAD.
func (d *ietfClient) want(target string, offset int64, complete bool) {
	d.env.Helper()
	a := d.head(target).status(204, 200).header("Upload-Offset", strconv.FormatInt(offset, 10))
	if a.Status == 204 {
		a.header("Cache-Control", "no-store")
	}
	if d.interop != 0 {
		a.status(204)
	}
	d.wantComplete(a, complete)
}

// wantComplete checks the completeness in an answer.
func (d *ietfClient) wantComplete(a *answer, complete bool) *answer {
	d.env.Helper()
	return a.header(d.completeField(complete))
}

// offsetOf requests the offset with a HEAD.
func (d *ietfClient) offsetOf(target string) int64 {
	d.env.Helper()
	n, err := strconv.ParseInt(d.head(target).status(204).Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		d.env.Errorf("Upload-Offset of %s: %v", target, err)
	}
	return n
}

// checkEvery checks what is true of every answer of the draft.
func (d *ietfClient) checkEvery(a *answer, method string) *answer {
	d.env.Helper()
	a.request = fmt.Sprintf("interop %d: %s", d.interop, a.request)
	a.header("X-Content-Type-Options", "nosniff")
	if d.interop == 0 && a.Status >= 400 && a.Header.Get("Tus-Resumable") != "" {
		return a // the request has no mark of the draft
	}
	a.headerMatches("Upload-Limit", "^min-size=0(, |$)").without("Tus-Resumable", "Tus-Version")
	if d.interop >= 3 && d.interop <= 9 {
		a.header("Upload-Draft-Interop-Version", strconv.Itoa(d.interop))
	} else {
		a.without("Upload-Draft-Interop-Version")
	}
	said, _ := d.completeField(false)
	for _, name := range []string{"Upload-Complete", "Upload-Incomplete"} {
		if name != said {
			a.without(name)
		}
	}
	if changes := method != http.MethodHead && method != http.MethodGet && method != http.MethodDelete; changes {
		a.headerMatches(said, `^\?[01]$`)
	}
	if a.Status >= 400 {
		a.checkProblem(method)
	}
	return a
}

// problem is the content of an error answer.
type problem struct {
	Type, Title, Code string
	Status            int
	Expected          *int64 `json:"expected-offset"`
	Provided          *int64 `json:"provided-offset"`
}

func (a *answer) problem() (p problem) {
	a.env.Helper()
	a.header("Content-Type", "application/problem+json")
	if err := json.Unmarshal(a.Body, &p); err != nil {
		a.env.Errorf("%s: answer %d has the body %q: %v", a.request, a.Status, a.Body, err)
	}
	return p
}

func (a *answer) checkProblem(method string) {
	a.env.Helper()
	a.headerMatches("X-Request-Id", ".")
	if a.Status >= 500 && a.Status != http.StatusNotImplemented {
		a.headerMatches("Retry-After", "^[0-9]+$")
	}
	if a.Status == http.StatusLocked || a.Status == http.StatusTooManyRequests {
		a.env.Errorf("%s: answer %d, which makes clients of the draft give up", a.request, a.Status)
	}
	if method == http.MethodHead {
		a.without("Content-Type")
		return
	}
	if p := a.problem(); p.Status != a.Status || p.Code == "" || p.Type == "" || p.Title == "" {
		a.env.Errorf("%s: answer %d has the problem %s", a.request, a.Status, a.Body)
	}
}

// refusedWith checks the code of an error and the name of its problem type,
// "" if it has none.
func (a *answer) refusedWith(status int, code, problemType string) *answer {
	a.env.Helper()
	want := "about:blank"
	if problemType != "" {
		want = "https://iana.org/assignments/http-problem-types#" + problemType
	}
	if p := a.status(status).problem(); p.Code != code || p.Type != want {
		a.env.Errorf("%s: answer %d has code %q and type %q, want %q and %q", a.request, a.Status, p.Code, p.Type, code, want)
	}
	return a
}

// openIETFRequest is a request of the draft whose body is being sent.
type openIETFRequest struct {
	*openRequest
	client *ietfClient
	method string
}

// open sends the head of a request.
func (d *ietfClient) open(method, target string, length int64, header ...string) *openIETFRequest {
	d.env.Helper()
	return &openIETFRequest{d.client.openMethod(method, target, length, d.header(header...)...), d, method}
}

// openAppend sends the head of a PATCH and waits until the server asks for its body: then it
// has the upload's lock.
func (d *ietfClient) openAppend(target string, offset, length int64, complete bool, header ...string) *openIETFRequest {
	d.env.Helper()
	s := d.open(http.MethodPatch, target, length, d.appendHeader(offset, complete, append(header, "Expect: 100-continue")...)...)
	s.wantContinue()
	return s
}

// informed waits for the next 104 and checks what is true of every 104.
func (s *openIETFRequest) informed() *wire.Interim {
	s.env.Helper()
	select {
	case i := <-s.Interim():
		s.checkInterim(i)
		return &i
	case <-time.After(10 * time.Second):
		s.env.Fatalf("interop %d: no 104 arrived", s.client.interop)
	}
	return nil
}

func (s *openIETFRequest) checkInterim(i wire.Interim) {
	s.env.Helper()
	if i.Status != 104 {
		s.env.Errorf("interim status %d, want 104", i.Status)
	}
	if got := i.Header.Values("Upload-Draft-Interop-Version"); !slices.Equal(got, []string{strconv.Itoa(s.client.interop)}) {
		s.env.Errorf("a 104 carries the version %q, want %d", got, s.client.interop)
	}
}

// interim is an answer with the header of a 104, to check it.
func (e *env) interim(header http.Header) *answer {
	return &answer{tusclient.Answer{Response: wire.Response{Header: header}}, e, "104"}
}

// announced waits for the 104 of a creation and returns the upload's target.
func (s *openIETFRequest) announced() string {
	s.env.Helper()
	i := s.informed()
	if limit := i.Header.Values("Upload-Limit"); len(limit) != 1 || limit[0] == "" {
		s.env.Errorf("the 104 of a creation carries Upload-Limit %q, want it once", limit)
	}
	return s.env.interim(i.Header).location()
}

// answer waits for the answer.
func (s *openIETFRequest) answer() *answer {
	s.env.Helper()
	a, err := s.Answer()
	if err != nil {
		s.env.Fatal(err)
	}
	return s.client.checkEvery(s.env.answer(s.String(), a, nil), s.method)
}

// wantNoInterim checks that there is no (other) interim answer. The answer must have arrived.
func (s *openIETFRequest) wantNoInterim() {
	s.env.Helper()
	select {
	case i := <-s.Interim():
		s.env.Errorf("interop %d: interim answer %+v, want none", s.client.interop, i)
	default:
	}
}

// cut closes the connection, and waits until the server has noticed it.
func (s *openIETFRequest) cut() {
	s.env.Helper()
	_ = s.Abort()
	s.client.drop()
	s.env.waitIdle()
}
