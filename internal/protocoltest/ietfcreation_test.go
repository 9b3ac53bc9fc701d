package protocoltest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestIETFCreation(t *testing.T) {
	runIETF(t, []scenario{
		{"R1_optimistic", "a client that sends all at once learns the upload's URL before its body ends", everyVersion(ietfOptimistic)},
		{"R2_no_104", "an unknown, missing or malformed version is answered without 104", ietfNotInformed},
		{"R4_expect", "104 and 100 both arrive before the body is sent", everyVersion(ietfExpect)},
		{"R5_careful", "PUT, POST and PATCH without content make an upload", everyVersion(ietfCareful)},
		{"R6_first_part", "a creation takes the first part", everyVersion(ietfFirstPart)},
		{"R7_empty", "an empty creation that is all is a complete, empty upload", everyVersion(ietfEmpty)},
		{"R8_inconsistent", "lengths that contradict each other are refused before anything is made", newest(ietfInconsistent)},
		{"R9_short", "a body shorter than its announced length does not complete the upload", newest(ietfShort)},
		{"R10_ordinary", "without a valid mark a POST is no creation of the draft", newest(ietfOrdinary)},
		{"R13_cut", "a creation that is cut can be continued at the URL of its 104", everyVersion(ietfCutCreation)},
		{"R43_coding", "the encoded bytes are stored and counted, and the download has the coding", newest(ietfCoding)},
		{"metadata", "the creation's fields describe the upload, those of PATCH do not", newest(ietfMetaData)},
		{"long_metadata", "a description is as limited as that of tus", newest(ietfLongMetaData)},
		{"no_deferrer", "a store that cannot defer lengths takes no creations of the draft", newest(ietfNoDeferrer)},
	})
}

func TestIETFHTTP10(t *testing.T) {
	runOn(t, memoryStore, protocols[:1], []scenario{
		{"R3_http10", "HTTP/1.0 is never sent an interim answer", ietfHTTP10},
	})
}

func ietfOptimistic(d *ietfClient) {
	data := content(1000)
	for _, length := range []int64{1000, -1} {
		s := d.open(http.MethodPost, "/files/", length, d.completeness(true))
		var u string
		if d.interop != 0 {
			u = s.announced()
		}
		s.send(data)
		s.end()
		a := s.answer().status(201).header("Upload-Offset", "1000").header("Upload-Length", "1000")
		if got := a.location(); u == "" {
			u = got
		} else if got != u {
			d.env.Errorf("the answer names %s, the 104 named %s", got, u)
		}
		d.wantComplete(a, true)
		d.want(u, 1000, true)
		d.env.wantStored(u, data)
	}
}

func ietfNotInformed(e *env) {
	d := e.ietf(0)
	for _, line := range []string{
		"", "Upload-Draft-Interop-Version: 99", `Upload-Draft-Interop-Version: "9"`, "Upload-Draft-Interop-Version: 9.0",
		"Upload-Draft-Interop-Version: -9", "Upload-Draft-Interop-Version: 2", "Upload-Draft-Interop-Version: 10",
	} {
		header := []string{d.completeness(true)}
		if line != "" {
			header = append(header, line)
		}
		s := d.open(http.MethodPost, "/files/", 5, header...)
		s.send([]byte("hello"))
		s.end()
		a := s.answer().status(201)
		d.wantComplete(a, true)
		s.wantNoInterim()
		e.wantStored(a.location(), []byte("hello"))
	}
	s := d.open(http.MethodPost, "/files/", 5, d.completeness(true), "Upload-Draft-Interop-Version: 9", "Upload-Draft-Interop-Version: 9")
	s.send([]byte("hello"))
	s.end()
	s.answer().status(201)
	s.wantNoInterim()
}

func ietfHTTP10(e *env) {
	e.config.DisableIETF = false
	for _, request := range []string{"POST /files/", "PUT /files/"} {
		c := e.rawConn()
		c.send(request + " HTTP/1.0\r\nUpload-Draft-Interop-Version: 9\r\nUpload-Complete: ?1\r\nContent-Length: 5\r\n\r\nhello")
		got, err := io.ReadAll(c.reader)
		if first, _, _ := strings.Cut(string(got), "\r\n"); err != nil || first != "HTTP/1.0 201 Created" {
			e.Errorf("%s over HTTP/1.0 is answered %q, %v", request, got, err)
		}
	}
}

func ietfExpect(d *ietfClient) {
	s := d.open(http.MethodPost, "/files/", 5, d.completeness(true), "Expect: 100-continue")
	if d.interop != 0 {
		s.announced()
	}
	s.wantContinue()
	s.send([]byte("hello"))
	s.end()
	d.wantComplete(s.answer().status(201), true)
	s.wantNoInterim()
}

func ietfCareful(d *ietfClient) {
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodPatch} {
		s := d.open(method, "/files/", 0, d.completeness(false), "Upload-Length: 100")
		a := s.answer().status(201).header("Upload-Offset", "0").header("Upload-Length", "100")
		d.wantComplete(a, false)
		d.want(a.location(), 0, false)
		d.head(a.location()).header("Upload-Length", "100")
	}
}

func ietfFirstPart(d *ietfClient) {
	data := content(23)
	for _, length := range []int64{23, -1} {
		s := d.open(http.MethodPost, "/files/", length, d.completeness(false))
		s.send(data)
		s.end()
		a := s.answer().status(201).header("Upload-Offset", "23")
		d.wantComplete(a, false)
		d.want(a.location(), 23, false)
		d.env.wantStored(a.location(), data)
	}
}

func ietfEmpty(d *ietfClient) {
	for _, length := range []int64{0, -1} {
		s := d.open(http.MethodPost, "/files/", length, d.completeness(true))
		if length != 0 {
			s.end()
		}
		a := s.answer().status(201).header("Upload-Offset", "0").header("Upload-Length", "0")
		d.wantComplete(a, true)
		d.want(a.location(), 0, true)
		d.env.wantStored(a.location(), nil)
	}
}

func ietfInconsistent(d *ietfClient) {
	a := d.create(true, []byte("hello"), "Upload-Length: 100")
	a.refusedWith(400, "ERR_INCONSISTENT_UPLOAD_LENGTH", "inconsistent-upload-length").without("Location")
	d.wantComplete(a, false)
	a = d.create(true, nil, "Upload-Length: 100").status(400, 201)
	if a.Status == 400 {
		d.wantComplete(a, false)
	}
	d.create(false, []byte("hello"), "Upload-Length: 4").status(413).without("Location")
}

func ietfShort(d *ietfClient) {
	a := d.create(true, []byte("hello"), "Upload-Length: 10", chunked)
	a.refusedWith(400, "ERR_INCONSISTENT_UPLOAD_LENGTH", "inconsistent-upload-length")
	d.wantComplete(a, false)
	u := a.location()
	d.want(u, 5, false)
	d.append(u, 5, true, []byte("world")).status(204)
	d.want(u, 10, true)
}

func ietfOrdinary(d *ietfClient) {
	for _, header := range [][]string{
		nil, {"Upload-Complete: true"}, {"Upload-Complete: 1"}, {"Upload-Complete: ?2"}, {"Upload-Complete: ?1", "Upload-Complete: ?1"},
		{"Upload-Complete: ?1;A"}, {"Upload-Complete: "}, {"Upload-Incomplete: maybe"},
	} {
		a := d.raw(http.MethodPost, "/files/", []byte("hello"), header...)
		a.status(412).header("Tus-Version", "1.0.0").without("Location", "Upload-Limit")
		d.create(false, nil, header...).status(201, 400)
	}
	d.do(http.MethodPost, "/files/", []byte("hello")).refusedWith(400, "ERR_INVALID_UPLOAD_COMPLETE", "").without("Location")
	d.raw(http.MethodPut, "/files/", []byte("hello"), version).status(405)
	d.raw(http.MethodPatch, "/files/", []byte("hello"), version).status(405)
}

func ietfCutCreation(d *ietfClient) {
	if d.interop == 0 {
		return // it would not know the URL
	}
	data := content(2 << 20)
	s := d.open(http.MethodPost, "/files/", int64(len(data)), d.completeness(true))
	u := s.announced()
	s.sendAndSee(data[:1<<20])
	s.cut()
	offset := d.offsetOf(u)
	if offset <= 0 || offset > 1<<20 {
		d.env.Errorf("interop %d: after a cut at 1 MiB the offset is %d", d.interop, offset)
	}
	d.want(u, offset, false)
	d.wantComplete(d.append(u, offset, true, data[offset:]).status(d.appended()), true)
	d.want(u, int64(len(data)), true)
	d.env.wantStored(u, data)
}

func ietfCoding(d *ietfClient) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(bytes.Repeat([]byte("hello "), 1000)); err != nil {
		d.env.Fatal(err)
	}
	if err := w.Close(); err != nil {
		d.env.Fatal(err)
	}
	packed := buf.Bytes()
	u := d.create(false, packed[:10], "Content-Encoding: gzip", "Content-Type: text/plain").status(201).location()
	d.append(u, 10, true, packed[10:]).status(204).header("Upload-Offset", strconv.Itoa(len(packed)))
	d.env.wantStored(u, packed)
	a := d.raw(http.MethodGet, u, nil).status(200).header("Content-Encoding", "gzip").header("Content-Type", "text/plain")
	if !bytes.Equal(a.Body, packed) {
		d.env.Errorf("the download has %s, want %s", digest(a.Body), digest(packed))
	}
}

func ietfMetaData(d *ietfClient) {
	u := d.create(false, []byte("0123"), "Content-Type: image/png", `Content-Disposition: inline; filename*=UTF-8''%C3%A4.png`).location()
	d.append(u, 4, true, []byte("4567"), `Content-Disposition: attachment; filename="other"`, "Content-Encoding: gzip").status(204)
	d.raw(http.MethodGet, u, nil).status(200).header("Content-Type", "image/png").without("Content-Encoding").
		header("Content-Disposition", `inline; filename="_.png"; filename*=UTF-8''%C3%A4.png`)
	d.client.head(u).status(200).headerMatches("Upload-Metadata", "filename w6QucG5n")
	u = d.create(true, []byte("0123"), "Content-Type: bad", `Content-Disposition: attachment; filename="..\\..\\x`).location()
	d.raw(http.MethodGet, u, nil).status(200).header("Content-Type", "application/octet-stream").header("Content-Disposition", "attachment")
}

func ietfLongMetaData(d *ietfClient) {
	d.env.config.MaxMetaData = 100
	d.create(false, nil, "Content-Disposition: attachment; filename="+strings.Repeat("a", 101)).refusedWith(431, "ERR_METADATA_TOO_LARGE", "").without("Location")
	d.create(false, nil, "Content-Disposition: attachment; filename="+strings.Repeat("a", 50)).status(201)
}

func ietfNoDeferrer(d *ietfClient) {
	d.env.config.StoreComposer.LengthDeferrer = nil
	d.create(false, nil, "Upload-Length: 5").refusedWith(501, "ERR_NOT_IMPLEMENTED", "").without("Location")
	d.create(true, []byte("hello")).status(501).without("Location")
}

// wantLimit checks the value of Upload-Limit.
func wantLimit(a *answer, members ...string) *answer {
	a.env.Helper()
	return a.header("Upload-Limit", strings.Join(slices.Concat([]string{"min-size=0"}, members), ", "))
}

func TestIETFLimits(t *testing.T) {
	limited := func(change func(*tusd.Config), test func(*ietfClient)) func(*env) {
		return func(e *env) {
			change(&e.config)
			test(e.ietf(9))
		}
	}
	runIETF(t, []scenario{
		{"R11_too_large", "a length above max-size is refused, and nothing is made", limited(func(c *tusd.Config) { c.MaxSize = 100 }, ietfTooLarge)},
		{"R12_grows", "a body that grows past max-size is refused and the upload has failed", limited(func(c *tusd.Config) { c.MaxSize = 100 }, ietfGrows)},
		{"R29_min_append", "content below min-append-size is refused unless it is the last", limited(func(c *tusd.Config) { c.MinAppendSize = 10 }, ietfMinAppend)},
		{"R30_max_append", "content above max-append-size is refused and the upload survives", limited(func(c *tusd.Config) { c.MaxAppendSize = 10 }, ietfMaxAppend)},
		{"R39_options", "OPTIONS tells the limits, with all of them set", limited(func(c *tusd.Config) { c.MaxSize, c.MaxAppendSize, c.MinAppendSize = 100, 50, 10 }, ietfAllLimits)},
		{"max_size", "max-size holds for every way to make or grow an upload", limited(func(c *tusd.Config) { c.MaxSize = 100 }, maxSizeEverywhere)},
	})
}

func ietfTooLarge(d *ietfClient) {
	for _, complete := range []bool{true, false} {
		a := d.create(complete, nil, "Upload-Length: 101")
		if complete && a.Status == 400 {
			continue // it has no content: that contradicts first
		}
		wantLimit(a.refusedWith(413, "ERR_MAX_SIZE_EXCEEDED", ""), "max-size=100").without("Location")
		wantLimit(d.create(complete, content(101)), "max-size=100").status(413).without("Location")
	}
	d.create(false, content(10), "Upload-Length: 100").status(201)
	d.create(true, content(100)).status(201)
}

func ietfGrows(d *ietfClient) {
	for _, complete := range []bool{true, false} {
		for _, before := range []int{0, 60, 100} { // bytes that are stored before too many come
			s := d.open(http.MethodPost, "/files/", -1, d.completeness(complete))
			u := s.announced()
			s.sendAndSee(content(200)[:before])
			s.send(content(200)[before:])
			wantLimit(s.answer().refusedWith(413, "ERR_MAX_SIZE_EXCEEDED", ""), "max-size=100")
			d.drop()
			d.head(u).status(410)
			d.append(u, 0, false, nil).status(410)
			wantAtMost(d, u, 100)
			d.cancel(u).status(204)
		}
	}
}

func ietfMinAppend(d *ietfClient) {
	wantLimit(d.create(false, []byte("short")), "min-append-size=10").refusedWith(400, "ERR_APPEND_TOO_SMALL", "").without("Location")
	d.create(true, []byte("short")).status(201)
	u := d.begin()
	wantLimit(d.append(u, 0, false, []byte("short")), "min-append-size=10").refusedWith(400, "ERR_APPEND_TOO_SMALL", "")
	wantLimit(d.append(u, 0, false, nil), "min-append-size=10").refusedWith(400, "ERR_APPEND_TOO_SMALL", "")
	d.want(u, 0, false)
	d.append(u, 0, false, content(10)).status(204)
	d.append(u, 10, true, []byte("short")).status(204)
	d.want(u, 15, true)
	d.append(d.begin(), 0, true, nil).status(204)
}

func ietfMaxAppend(d *ietfClient) {
	wantLimit(d.create(true, content(11)), "max-append-size=10").refusedWith(413, "ERR_APPEND_TOO_LARGE", "").without("Location")
	wantLimit(d.create(false, content(11)), "max-append-size=10").refusedWith(413, "ERR_APPEND_TOO_LARGE", "").without("Location")
	u := d.create(false, content(10)).status(201).location()
	wantLimit(d.append(u, 10, false, content(11)), "max-append-size=10").refusedWith(413, "ERR_APPEND_TOO_LARGE", "")
	d.want(u, 10, false)
	wantLimit(d.append(u, 10, false, content(30)[10:], chunked), "max-append-size=10").refusedWith(413, "ERR_APPEND_TOO_LARGE", "")
	offset := d.offsetOf(u)
	if offset > 20 {
		d.env.Errorf("a body above max-append-size got the offset to %d", offset)
	}
	d.append(u, offset, true, content(30)[offset:20]).status(204)
	d.env.wantStored(u, content(20))
	d.client.createFull(content(30)) // tus has no limit of this kind
}

func ietfAllLimits(d *ietfClient) {
	all := []string{"max-size=100", "max-append-size=50", "min-append-size=10"}
	wantLimit(d.raw(http.MethodOptions, "/files/", nil), all...).status(200)
	s := d.open(http.MethodPost, "/files/", 12, d.completeness(false))
	i := s.informed()
	wantLimit(d.env.interim(i.Header), all...)
	s.send(content(12))
	s.end()
	u := wantLimit(s.answer().status(201), all...).location()
	wantLimit(d.head(u), all...)
	wantLimit(d.append(u, 12, false, content(12)), all...).status(204)
	wantLimit(d.append(u, 0, false, content(12)), all...).status(409)
}

// maxSizeEverywhere tries to make uploads of more than 100 bytes in all ways.
func maxSizeEverywhere(d *ietfClient) {
	c := d.client
	c.post("Upload-Length: 101").status(413)
	c.postWith(content(101), "Upload-Defer-Length: 1").status(413)
	c.postWith(content(101), "Upload-Defer-Length: 1", chunked).status(413)
	u := c.createDeferred()
	c.patch(u, 0, content(101)).status(413)
	c.patch(u, 0, content(101), chunked).status(413)
	c.patch(u, c.offset(u), nil, "Upload-Length: 101").status(413)
	wantAtMost(d, u, 100)

	d.create(false, nil, "Upload-Length: 101").status(413)
	d.create(false, content(101)).status(413)
	u = d.begin()
	d.append(u, 0, true, content(101)).status(413)
	d.append(u, 0, false, content(101)).status(413)
	d.append(u, 0, false, nil, "Upload-Length: 101").status(413)
	d.want(u, 0, false)
	d.append(u, 0, false, content(101), chunked).status(413)
	wantAtMost(d, u, 100)
	u = d.begin()
	d.append(u, 0, false, content(60)).status(204)
	d.append(u, 60, true, content(41)).status(413)
	d.want(u, 60, false)
	c.patch(u, 60, content(41)).status(413)
	wantAtMost(d, u, 60)

	one, two := c.createPartial(content(60)), c.createPartial(content(60))
	c.postFinal(one + " " + two).status(413)
	late := c.createDeferred("Upload-Concat: partial")
	final := c.postFinal(one + " " + late).status(201).location()
	c.patch(late, 0, content(41), "Upload-Length: 41").status(204)
	c.env.eventually("the final that would be too large has failed", func() bool { return c.head(final).Status == 410 })
}

func wantAtMost(d *ietfClient, target string, most int) {
	d.env.Helper()
	if n := len(d.env.stored(target)); n > most {
		d.env.Errorf("%s has %d bytes, at most %d are allowed", target, n, most)
	}
}
