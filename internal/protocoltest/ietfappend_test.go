package protocoltest

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func TestIETFAppend(t *testing.T) {
	runIETF(t, []scenario{
		{"R17_append", "a part at the right offset is stored", everyVersion(ietfAppends)},
		{"R18_wrong_offset", "a part at a wrong offset is refused with the real one", everyVersion(ietfWrongOffset)},
		{"R19_bad_offset", "without a valid Upload-Offset nothing is stored", everyVersion(ietfBadOffset)},
		{"R20_no_completeness", "PATCH without completeness is refused, or complete in old versions", everyVersion(ietfNoCompleteness)},
		{"R21_media_type", "PATCH needs application/partial-upload, parameters aside", ietfMediaType},
		{"R22_any_media", "old versions take any media type", ietfAnyMedia},
		{"R23_empty_completes", "an empty part that is the last completes", everyVersion(ietfEmptyCompletes)},
		{"R24_full_is_not_complete", "offset = length completes nothing", everyVersion(ietfFullIsNotComplete)},
		{"R25_short", "a last part that ends below the length is refused", newest(ietfLastIsShort)},
		{"R26_beyond", "a part that goes beyond the length is refused, and since 8 that ends the upload", everyVersion(ietfBeyond)},
		{"R27_other_length", "another length than the known one is refused", newest(ietfOtherLength)},
		{"R28_late_length", "a length can be declared later", newest(ietfLateLength)},
		{"R31_empty", "an empty part changes nothing", everyVersion(ietfEmptyPart)},
		{"R32_completed", "an append to a complete upload is refused", everyVersion(ietfCompleted)},
		{"R33_cut", "bytes that arrived before a cut are kept, and nothing is completed", everyVersion(ietfCutAppend)},
		{"R44_refused", "a refusal of the whole upload is the completing request's answer", everyVersion(ietfRefused)},
		{"R50_cycle", "an upload from creation to completion has the fields of its version", everyVersion(ietfCycle)},
	})
}

// TestIETFProgress takes several seconds, the time between two reports.
func TestIETFProgress(t *testing.T) {
	t.Parallel()
	for _, interop := range []int{0, 3, 4, 5, 6, 7, 8, 9, 99} {
		for _, p := range protocols {
			t.Run(p.name+"/"+strconv.Itoa(interop), func(t *testing.T) {
				t.Parallel()
				e := newEnv(t, p, memoryStore)
				e.config.DisableIETF = false
				ietfProgress(e.ietf(interop))
			})
		}
	}
}

func ietfAppends(d *ietfClient) {
	data := content(30)
	u := d.begin()
	for i, length := range []int64{10, -1} {
		s := d.open(http.MethodPatch, u, length, d.appendHeader(int64(i)*10, false)...)
		s.send(data[i*10 : (i+1)*10])
		s.end()
		a := s.answer().status(d.appended()).header("Upload-Offset", strconv.Itoa((i+1)*10)).without("Location")
		d.wantComplete(a, false)
		d.want(u, int64(i+1)*10, false)
	}
	a := d.append(u, 20, true, data[20:]).status(d.appended()).header("Upload-Offset", "30").header("Upload-Length", "30")
	d.wantComplete(a, true)
	d.want(u, 30, true)
	d.env.wantStored(u, data)
}

func ietfWrongOffset(d *ietfClient) {
	u := d.create(false, content(10)).status(201).location()
	for _, wrong := range []int64{0, 9, 11, 1 << 40} {
		for _, complete := range []bool{true, false} {
			a := d.append(u, wrong, complete, []byte("data")).header("Upload-Offset", "10")
			a.refusedWith(409, "ERR_MISMATCHED_OFFSET", "mismatching-upload-offset")
			d.wantComplete(a, false)
			if p := a.problem(); p.Expected == nil || *p.Expected != 10 || p.Provided == nil || *p.Provided != wrong {
				d.env.Errorf("the problem is %s, want the expected offset 10 and the provided %d", a.Body, wrong)
			}
		}
	}
	d.want(u, 10, false)
	d.append(u, 10, false, []byte("data")).status(d.appended())
}

func ietfBadOffset(d *ietfClient) {
	u := d.begin()
	for _, lines := range [][]string{
		nil, {"Upload-Offset: x"}, {"Upload-Offset: -1"}, {"Upload-Offset: 0.0"}, {`Upload-Offset: "0"`}, {"Upload-Offset: +0"}, {"Upload-Offset: 0x0"},
		{"Upload-Offset: 0000000000000000"}, {"Upload-Offset: 0", "Upload-Offset: 0"}, {"Upload-Offset: 0, 0"}, {"Upload-Offset: "}, {"Upload-Offset: 0 ;a"},
	} {
		d.do(http.MethodPatch, u, []byte("data"), append(lines, d.completeness(false), appendType)...).refusedWith(400, "ERR_INVALID_OFFSET", "")
	}
	d.want(u, 0, false)
	for i, line := range []string{"Upload-Offset: 000000000000000", "Upload-Offset: 4;a=1", "Upload-Offset:   8  "} {
		d.do(http.MethodPatch, u, []byte("data"), line, d.completeness(false), appendType).status(d.appended()).
			header("Upload-Offset", strconv.Itoa(4*(i+1)))
	}
}

func ietfNoCompleteness(d *ietfClient) {
	u := d.begin()
	for _, lines := range [][]string{nil, {"Upload-Complete: yes"}, {"Upload-Complete: ?1", "Upload-Complete: ?1"}} {
		if d.interop >= 3 && d.interop <= 6 {
			u = d.begin()
		}
		a := d.do(http.MethodPatch, u, []byte("data"), append(lines, "Upload-Offset: 0", appendType)...)
		if d.interop >= 3 && d.interop <= 6 {
			d.wantComplete(a.status(201), true)
			d.want(u, 4, true)
			continue
		}
		a.refusedWith(400, "ERR_INVALID_UPLOAD_COMPLETE", "")
		d.want(u, 0, false)
	}
}

func ietfMediaType(e *env) {
	for _, interop := range []int{0, 6, 7, 8, 9} {
		d := e.ietf(interop)
		u := d.begin()
		for _, lines := range [][]string{
			nil, {"Content-Type: text/plain"}, {"Content-Type: application/offset+octet-stream"},
			{"Content-Type: application/partial-uploads"}, {appendType, appendType},
		} {
			d.do(http.MethodPatch, u, []byte("data"), append(lines, "Upload-Offset: 0", d.completeness(false))...).
				refusedWith(415, "ERR_INVALID_CONTENT_TYPE", "")
		}
		d.want(u, 0, false)
		for i, line := range []string{appendType + "; x=y", "Content-Type: Application/Partial-Upload"} {
			d.do(http.MethodPatch, u, []byte("data"), "Upload-Offset: "+strconv.Itoa(4*i), d.completeness(false), line).status(d.appended())
		}
	}
}

func ietfAnyMedia(e *env) {
	for _, interop := range []int{3, 4, 5} {
		d := e.ietf(interop)
		u := d.begin()
		for i, lines := range [][]string{nil, {"Content-Type: text/plain"}, {"Content-Type: application/octet-stream"}, {appendType}} {
			d.do(http.MethodPatch, u, []byte("data"), append(lines, "Upload-Offset: "+strconv.Itoa(4*i), d.completeness(false))...).status(201)
		}
		d.want(u, 16, false)
	}
}

func ietfEmptyCompletes(d *ietfClient) {
	for _, header := range []string{"Upload-Length: 10", "X: y"} {
		u := d.create(false, content(10), header).status(201).location()
		d.wantComplete(d.append(u, 10, true, nil).status(d.appended()), true)
		d.want(u, 10, true)
		d.head(u).header("Upload-Length", "10")
		d.env.wantStored(u, content(10))
	}
}

func ietfFullIsNotComplete(d *ietfClient) {
	u := d.begin("Upload-Length: 10")
	d.wantComplete(d.append(u, 0, false, content(10)).status(d.appended()).header("Upload-Offset", "10"), false)
	d.want(u, 10, false)
	d.wantComplete(d.do(http.MethodGet, u, nil).status(204).header("Upload-Offset", "10"), false)
	d.append(u, 10, true, nil).status(d.appended())
	d.want(u, 10, true)
}

func ietfLastIsShort(d *ietfClient) {
	for _, framing := range []string{"X: y", chunked} {
		u := d.create(false, content(2), "Upload-Length: 10").status(201).location()
		a := d.append(u, 2, true, content(5)[2:], framing)
		d.wantComplete(a.refusedWith(400, "ERR_INCONSISTENT_UPLOAD_LENGTH", "inconsistent-upload-length"), false)
		offset := d.offsetOf(u)
		if offset != 2 && offset != 5 {
			d.env.Errorf("the offset is %d", offset)
		}
		d.want(u, offset, false)
		d.append(u, offset, true, content(10)[offset:]).status(204)
		d.env.wantStored(u, content(10))
	}
}

func ietfBeyond(d *ietfClient) {
	refusal := 413
	if d.interop == 6 { // as its draft wants it
		refusal = 400
	}
	for _, framing := range []string{"X: y", chunked} {
		for _, complete := range []bool{true, false} {
			u := d.create(false, content(2), "Upload-Length: 10").status(201).location()
			a := d.append(u, 2, complete, content(20)[2:], framing).refusedWith(refusal, "ERR_UPLOAD_SIZE_EXCEEDED", "")
			wantAtMost(d, u, 10)
			if d.interop == 0 || d.interop >= 8 {
				d.wantComplete(a, true) // there is nothing to resume
				d.head(u).status(410)
				d.append(u, 2, false, nil).refusedWith(410, "ERR_UPLOAD_FAILED", "")
				d.cancel(u).status(204)
				continue
			}
			d.wantComplete(a, false)
			offset := d.offsetOf(u)
			d.append(u, offset, true, content(10)[offset:]).status(d.appended())
			d.env.wantStored(u, content(10))
		}
	}
}

func ietfOtherLength(d *ietfClient) {
	u := d.begin("Upload-Length: 10")
	for _, header := range []string{"Upload-Length: 11", "Upload-Length: 9"} {
		a := d.append(u, 0, false, []byte("data"), header)
		d.wantComplete(a.refusedWith(400, "ERR_INCONSISTENT_UPLOAD_LENGTH", "inconsistent-upload-length"), false)
	}
	d.append(u, 0, true, []byte("data"), "Upload-Length: 10").status(400)
	d.want(u, 0, false)
	d.append(u, 0, false, []byte("data"), "Upload-Length: 10").status(204)
	d.append(u, 4, true, content(6), "Upload-Length: 10").status(204)
}

func ietfLateLength(d *ietfClient) {
	u := d.create(false, content(4)).status(201).without("Upload-Length").location()
	d.head(u).without("Upload-Length") // R16
	d.append(u, 4, false, nil, "Upload-Length: 3").refusedWith(400, "ERR_INCONSISTENT_UPLOAD_LENGTH", "inconsistent-upload-length")
	d.head(u).without("Upload-Length")
	d.append(u, 4, false, content(4), "Upload-Length: 10").status(204).header("Upload-Length", "10")
	d.head(u).header("Upload-Length", "10").header("Upload-Offset", "8")
	d.append(u, 8, true, content(3)).status(413)
}

func ietfEmptyPart(d *ietfClient) {
	u := d.create(false, content(4)).status(201).location()
	for _, framing := range []string{"X: y", chunked} {
		d.wantComplete(d.append(u, 4, false, nil, framing).status(d.appended()).header("Upload-Offset", "4"), false)
	}
	d.want(u, 4, false)
}

func ietfCompleted(d *ietfClient) {
	d.env.countFinishes()
	u := d.create(true, content(4)).status(201).location()
	finished := d.env.finished.Load()
	problemType := ""
	if d.interop >= 6 && d.interop <= 8 {
		problemType = "completed-upload"
	}
	for _, framing := range []string{"X: y", chunked} {
		for _, complete := range []bool{true, false} {
			d.append(u, 4, complete, []byte("more"), framing).refusedWith(400, "ERR_UPLOAD_COMPLETED", problemType)
		}
		d.wantComplete(d.append(u, 4, true, nil, framing).status(d.appended()), true)
	}
	d.wantComplete(d.append(u, 0, true, content(4)).refusedWith(409, "ERR_MISMATCHED_OFFSET", "mismatching-upload-offset"), false)
	d.want(u, 4, true)
	d.env.wantStored(u, content(4))
	if again := d.env.finished.Load(); again != finished {
		d.env.Errorf("the upload was finished %d times more", again-finished)
	}
}

func ietfCutAppend(d *ietfClient) {
	data := content(100)
	for _, length := range []int64{100, -1} {
		u := d.begin()
		s := d.openAppend(u, 0, length, true)
		s.sendAndSee(data[:60])
		s.cut()
		d.want(u, 60, false)
		d.wantComplete(d.append(u, 60, true, data[60:]).status(d.appended()), true)
		d.want(u, 100, true)
		d.env.wantStored(u, data)
	}
}

func ietfRefused(d *ietfClient) {
	d.env.config.Callbacks.PreFinish = func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		d.env.finished.Add(1)
		return tusd.HTTPResponse{}, tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 422})
	}
	before := d.env.finished.Load()
	a := d.create(true, content(4)).refusedWith(422, "ERR_UPLOAD_REJECTED", "")
	d.wantComplete(a, true)
	d.append(a.location(), 4, true, nil).status(422)
	u := d.create(false, content(4)).status(201).location()
	d.wantComplete(d.append(u, 4, true, content(4)).refusedWith(422, "ERR_UPLOAD_REJECTED", ""), true)
	d.wantComplete(d.append(u, 8, true, nil).refusedWith(422, "ERR_UPLOAD_REJECTED", ""), true) // replayed
	d.head(u).status(422)
	d.env.restart()
	d.head(u).status(422)
	if n := d.env.finished.Load() - before; n != 2 {
		d.env.Errorf("the callback was asked %d times for 2 uploads", n)
	}
	d.env.restart() // the config of the next version
}

// ietfCycle is an upload from creation to completion, with all fields of the version.
func ietfCycle(d *ietfClient) {
	data := content(300)
	s := d.open(http.MethodPost, "/files/", 100, d.completeness(false))
	if d.interop != 0 {
		s.announced()
	}
	s.send(data[:100])
	s.end()
	u := s.answer().status(201).location()
	d.want(u, 100, false)
	d.append(u, 100, false, data[100:200]).status(d.appended())
	d.append(u, 100, false, data[100:200]).status(409)
	d.want(u, 200, false)
	d.wantComplete(d.append(u, 200, true, data[200:]).status(d.appended()), true)
	d.want(u, 300, true)
	a := d.raw(http.MethodGet, u, nil, d.header()...).status(200)
	if d.wantComplete(a, true); string(a.Body) != string(data) {
		d.env.Errorf("the download has %s, want %s", digest(a.Body), digest(data))
	}
	d.cancel(u).status(204)
	d.head(u).status(404)
}

// ietfProgress sends slowly until there must be a progress report.
func ietfProgress(d *ietfClient) {
	u := d.begin()
	s := d.open(http.MethodPatch, u, -1, d.appendHeader(0, true)...)
	reports := 0
	last, sent := int64(0), int64(0)
	segment := content(256 << 10)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < 20*time.Second && reports < 2; {
		s.sendAndSee(segment)
		sent += int64(len(segment))
		<-tick.C
		select {
		case i := <-s.Interim():
			s.checkInterim(i)
			last = reported(d, d.env.interim(i.Header), last, sent)
			reports++
		default:
		}
		if silent := d.interop < 5 || d.interop > 9; silent && time.Since(begun) > 2500*time.Millisecond {
			break
		}
	}
	s.end()
	s.answer().status(d.appended())
	if expected := d.interop >= 5 && d.interop <= 9; expected != (reports > 0) {
		d.env.Errorf("interop %d: %d progress reports", d.interop, reports)
	}
}

// reported checks a progress report and returns its offset.
func reported(d *ietfClient, a *answer, last, sent int64) int64 {
	d.env.Helper()
	offset, err := strconv.ParseInt(a.without("Location").Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset <= last || offset > sent {
		d.env.Errorf("a 104 reports the offset %d (%v) after %d, with %d bytes sent", offset, err, last, sent)
	}
	return offset
}
