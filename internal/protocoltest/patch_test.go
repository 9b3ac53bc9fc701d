package protocoltest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPatch(t *testing.T) {
	run(t, []scenario{
		{"case021_first", "PATCH of 40 bytes at 0: 204, Upload-Offset 40, no body", patchFirst},
		{"case022_next", "the next PATCH continues at 40 and completes the upload; the bytes are identical", patchNext},
		{"case023_byte_by_byte", "100 PATCHes of one byte: each 204", patchByteByByte},
		{"case024_empty", "an empty PATCH at the offset: 204, unchanged", patchEmpty},
		{"case025_chunked", "a body of unknown length is taken like another", patchChunked},
		{"case026_offset_ahead", "PATCH at 50 when 0: 409 with Upload-Offset 0, unchanged", patchAhead},
		{"case027_replay", "PATCH at 0 when 40: 409 with Upload-Offset 40, unchanged", patchReplay},
		{"case028_no_offset", "PATCH without Upload-Offset: 400, unchanged", patchWithoutOffset},
		{"case029_bad_offset", "PATCH with an Upload-Offset that is no integer from 0 to 2^63-1: 400, unchanged", patchBadOffset},
		{"case030_offset_twice", "PATCH with two Upload-Offset lines: 400, unchanged", patchOffsetTwice},
		{"case031_no_type", "PATCH without Content-Type: 415, unchanged", patchWithoutType},
		{"case032_other_type", "PATCH with another Content-Type: 415, unchanged", patchOtherType},
		{"case033_type_spelling", "the media type is compared without case, parameters are allowed", patchTypeSpelling},
		{"case034_unknown", "PATCH of an unknown id: 404", patchUnknown},
		{"case035_too_long", "PATCH of 101 bytes with Content-Length: 413, unchanged", patchTooLong},
		{"case036_chunked_too_long", "a chunked body beyond the length: 413, the upload is never completed by it", patchChunkedTooLong},
		{"case037_beyond_the_end", "PATCH of 10 bytes at 95: 413, unchanged", patchBeyondTheEnd},
		{"case038_finished_empty", "an empty PATCH at the end of a finished upload: 204, unchanged", patchFinishedEmpty},
		{"case039_finished_more", "PATCH of one byte at the end of a finished upload: 4xx, unchanged", patchFinishedMore},
		{"case040_finished_start", "PATCH at 0 of a finished upload: 409, unchanged", patchFinishedStart},
		{"order_of_checks", "404 goes before 415, 415 before 400, 400 before 409", patchOrderOfChecks},
		{"content_length_cannot_wrap", "an offset near 2^63 plus a body does not wrap around", patchNoWrap},
		{"refused_body_is_drained", "a refused body of moderate size is drained: the connection stays open", patchRefusedDrained},
		{"refused_body_has_a_rest", "a refused body that is a bit longer than what is drained does not end the connection with a panic", patchRefusedRest},
		{"refused_huge_body", "a refused body of any size gets its answer", patchRefusedHuge},
	})
}

func patchFirst(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(40)).status(204).header("Upload-Offset", "40")
	e.wantOffset(u, 40)
}

func patchNext(e *env) {
	u, data := e.create(100), content(100)
	e.patch(u, 0, data[:40]).status(204)
	e.patch(u, 40, data[40:]).status(204).header("Upload-Offset", "100")
	e.wantStored(u, data)
	if a := e.get(u).status(200); string(a.Body) != string(data) {
		e.Errorf("GET has %s, want %s", digest(a.Body), digest(data))
	}
}

func patchByteByByte(e *env) {
	u, data := e.create(100), content(100)
	for i := range data {
		e.patch(u, int64(i), data[i:i+1]).status(204)
	}
	e.wantOffset(u, 100)
	e.wantStored(u, data)
}

func patchEmpty(e *env) {
	u := e.create(100)
	e.patch(u, 0, nil).status(204).header("Upload-Offset", "0")
	e.patch(u, 0, nil, chunked).status(204).header("Upload-Offset", "0")
	e.wantOffset(u, 0)
}

func patchChunked(e *env) {
	u, data := e.create(100), content(100)
	e.patch(u, 0, data[:40], chunked).status(204).header("Upload-Offset", "40")
	e.patch(u, 40, data[40:], chunked).status(204).header("Upload-Offset", "100")
	e.wantStored(u, data)
}

func patchAhead(e *env) {
	u := e.create(100)
	e.patch(u, 50, content(10)).status(409).code("ERR_MISMATCHED_OFFSET").header("Upload-Offset", "0")
	e.patch(u, 100, nil).status(409).header("Upload-Offset", "0")
	e.wantOffset(u, 0)
}

func patchReplay(e *env) {
	u, data := e.create(100), content(40)
	e.patch(u, 0, data).status(204)
	e.patch(u, 0, data).status(409).header("Upload-Offset", "40")
	e.wantOffset(u, 40)
	e.wantStored(u, data)
}

func patchWithoutOffset(e *env) {
	u := e.create(100)
	e.do(http.MethodPatch, u, content(10), version, octets).status(400).code("ERR_INVALID_OFFSET")
	e.wantOffset(u, 0)
}

func patchBadOffset(e *env) {
	u := e.create(100)
	for _, bad := range notIntegers {
		e.do(http.MethodPatch, u, content(10), version, octets, "Upload-Offset: "+bad).status(400).code("ERR_INVALID_OFFSET")
	}
	e.wantOffset(u, 0)
}

// notIntegers are values that no header with an integer may have.
var notIntegers = []string{
	"-1", "+0", "-0", "abc", "1.5", "0x0", "", "1e3", "0 0", "0,0", "0_0", "0;", "\"0\"",
	"9223372036854775808", "18446744073709551616", "99999999999999999999", "00000000000000000000", "٠",
}

func patchOffsetTwice(e *env) {
	u := e.create(100)
	for _, second := range []string{"40", "0"} {
		e.patch(u, 0, content(10), "Upload-Offset: "+second).status(400)
	}
	e.wantOffset(u, 0)
}

func patchWithoutType(e *env) {
	u := e.create(100)
	e.do(http.MethodPatch, u, content(10), version, "Upload-Offset: 0").status(415).code("ERR_INVALID_CONTENT_TYPE")
	e.do(http.MethodPatch, u, nil, version, "Upload-Offset: 0").status(415)
	e.wantOffset(u, 0)
}

func patchOtherType(e *env) {
	u := e.create(100)
	for _, other := range []string{"text/plain", "application/octet-stream", "application/offset+octet-streams", "", "application/partial-upload"} {
		e.do(http.MethodPatch, u, content(10), version, "Upload-Offset: 0", "Content-Type: "+other).status(415)
	}
	e.patchTyped(u, "text/plain", octets).status(415)
	e.wantOffset(u, 0)
}

func (c *client) patchTyped(u, mediaType string, header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodPatch, u, content(10), append([]string{version, "Upload-Offset: 0", "Content-Type: " + mediaType}, header...)...)
}

func patchTypeSpelling(e *env) {
	for _, spelling := range []string{"APPLICATION/OFFSET+OCTET-STREAM", "application/offset+octet-stream; charset=binary", "Application/Offset+Octet-Stream;x=y"} {
		u := e.create(100)
		e.patchTyped(u, spelling).status(204)
		e.wantOffset(u, 10)
	}
}

func patchUnknown(e *env) {
	e.patch("/files/unknown", 0, content(10)).status(404).without("Upload-Offset")
}

func patchTooLong(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(101)).status(413).code("ERR_UPLOAD_SIZE_EXCEEDED")
	e.wantOffset(u, 0)
}

func patchChunkedTooLong(e *env) {
	for _, size := range []int64{101, 150, 1 << 20} {
		u := e.create(100)
		e.patch(u, 0, content(size), chunked).status(413)
		if stored := e.stored(u); len(stored) >= 100 || string(stored) != string(content(int64(len(stored)))) {
			e.Errorf("%s stored of a body of %d bytes, want less than the length of 100", digest(stored), size)
		}
		if n := e.offset(u); n >= 100 {
			e.Errorf("offset %d: the body that was too long completed the upload", n)
		}
	}
}

func patchBeyondTheEnd(e *env) {
	u, data := e.create(100), content(100)
	e.patch(u, 0, data[:95]).status(204)
	e.patch(u, 95, content(10)).status(413)
	e.wantOffset(u, 95)
	e.wantStored(u, data[:95])
}

func patchFinishedEmpty(e *env) {
	u := e.createFull(content(100))
	e.patch(u, 100, nil).status(204).header("Upload-Offset", "100")
	e.wantOffset(u, 100)
}

func patchFinishedMore(e *env) {
	data := content(100)
	u := e.createFull(data)
	for _, header := range [][]string{nil, {chunked}} {
		if a := e.patch(u, 100, []byte("x"), header...); a.Status/100 != 4 {
			e.Errorf("%s: status %d, want 4xx", a.request, a.Status)
		}
	}
	e.wantOffset(u, 100)
	e.wantStored(u, data)
}

func patchFinishedStart(e *env) {
	data := content(100)
	u := e.createFull(data)
	e.patch(u, 0, content(100)).status(409).header("Upload-Offset", "100")
	e.wantStored(u, data)
}

func patchOrderOfChecks(e *env) {
	u := e.create(100)
	plain := "Content-Type: text/plain"
	e.do(http.MethodPatch, "/files/unknown", content(10), version, plain, "Upload-Offset: x").status(404)
	e.do(http.MethodPatch, u, content(10), version, plain, "Upload-Offset: x").status(415)
	e.do(http.MethodPatch, u, content(10), version, plain, "Upload-Offset: 50").status(415)
	e.do(http.MethodPatch, u, content(10), version, octets, "Upload-Offset: 50", "Upload-Length: x").status(400)
	e.patch(u, 50, content(101)).status(409)
	e.wantOffset(u, 0)
}

func patchNoWrap(e *env) {
	u := e.createDeferred()
	e.patch(u, 1<<63-1, content(10)).status(409)
	e.wantOffset(u, 0)
	// A store may be too small for an upload of the greatest length.
	if a := e.post("Upload-Length: 9223372036854775807").status(201, 413, 507); a.Status == 201 {
		u = a.location()
		e.patch(u, 0, content(10)).status(204)
		e.wantOffset(u, 10)
	}
}

func patchRefusedDrained(e *env) {
	u := e.create(1 << 30)
	e.connect()
	first := e.plain.Conn()
	e.patch(u, 50, content(512<<10)).status(409)
	e.head(u).status(200)
	if e.plain.Conn() != first {
		e.Error("the connection was closed after a refused body of 512 KiB")
	}
}

// patchRefusedRest sends a body that is a bit longer than the handler drains: net/http reads
// the rest to its end.
func patchRefusedRest(e *env) {
	u := e.create(1 << 30)
	e.patch(u, 50, content(1<<20+100<<10)).status(409)
	e.wantOffset(u, 0)
}

func patchRefusedHuge(e *env) {
	u := e.create(1 << 30)
	a := e.patch(u, 50, content(16<<20)).status(409).header("Upload-Offset", "0")
	if e.protocol.name == "http1" && !a.Close {
		e.Error("a client that is cut off in the middle of its body is not told that the connection ends")
	}
	e.patch(u, 50, content(4<<20), chunked).status(409)
	e.wantOffset(u, 0)
}

func TestBrokenPatch(t *testing.T) {
	runAlone(t, storeKinds, []scenario{
		{"case041_cut", "PATCH cut after 30 of 100 bytes: they are kept, the prefix is right", patchCut},
		{"case041_cut_chunked", "a chunked PATCH that is cut keeps what arrived", patchCutChunked},
		{"case042_stalled", "PATCH that stalls: 500 ERR_READ_TIMEOUT with Retry-After, bytes kept, lock free", patchStalled},
		{"case042_slow_is_not_stalled", "a body that lasts many idle periods but moves is taken whole", patchSlow},
		{"case048_restart", "after a restart HEAD shows at least what was acknowledged", patchRestart},
		{"case049_full", "a full store: 507 with Retry-After, HEAD shows what is stored, it continues when there is space", patchFullStore},
		{"cut_half_closed", "a client that ends sending early but listens hears 500 ERR_UNEXPECTED_EOF", patchHalfClosed},
	})
}

func patchCut(e *env)        { cutAfter30(e, 100) }
func patchCutChunked(e *env) { cutAfter30(e, -1) }

func cutAfter30(e *env, length int64) {
	u, data := e.create(100), content(100)
	other := e.another()
	s := other.open(u, 0, length)
	s.send(data[:30])
	if err := s.Abort(); err != nil {
		e.Error(err)
	}
	e.waitIdle()
	e.wantOffset(u, 30)
	e.wantStored(u, data[:30])
	e.patch(u, 30, data[30:]).status(204)
	e.wantStored(u, data)
}

func patchStalled(e *env) {
	e.config.NetworkTimeout = 150 * time.Millisecond
	u, data := e.create(100), content(100)
	s := e.another().open(u, 0, 100)
	s.send(data[:30])
	s.answer().status(500).code("ERR_READ_TIMEOUT").headerMatches("Retry-After", "^1$")
	e.wantOffset(u, 30)
	e.wantStored(u, data[:30])
	e.patch(u, 30, data[30:]).status(204)
}

// patchSlow takes longer than twice the timeout, the deadline of an answer.
func patchSlow(e *env) {
	e.config.NetworkTimeout = 500 * time.Millisecond
	u, data := e.create(12), content(12)
	s := e.another().open(u, 0, 12)
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for i := range data {
		<-pace.C
		s.send(data[i : i+1])
	}
	s.end()
	s.answer().status(204).header("Upload-Offset", "12")
	e.wantStored(u, data)
}

// patchRestart shuts the server down. internal/faulttest kills it.
func patchRestart(e *env) {
	u, data := e.create(100), content(100)
	e.patch(u, 0, data[:40]).status(204)
	e.restart()
	e.wantOffset(u, 40)
	e.patch(u, 40, data[40:]).status(204)
	e.restart()
	e.wantOffset(u, 100)
	e.wantStored(u, data)
}

func patchFullStore(e *env) {
	small := &smallStore{DataStore: e.config.StoreComposer.Core, space: 40}
	e.config.StoreComposer.Core = small
	u, data := e.create(100), content(100)
	e.patch(u, 0, data).status(507).code("ERR_NO_SPACE").headerMatches("Retry-After", ".")
	e.wantOffset(u, 40)
	e.wantStored(u, data[:40])
	small.space = 1000
	e.patch(u, 40, data[40:]).status(204)
	e.wantStored(u, data)
}

// patchHalfClosed ends a body early and reads the answer. Over HTTP/2 that is not possible
// with Content-Length: END_STREAM before its end resets the stream. So the body has no length
// there, and is complete.
func patchHalfClosed(e *env) {
	if e.protocol.name == "http2" {
		u := e.create(100)
		s := e.another().open(u, 0, -1)
		s.send(content(30))
		s.end()
		s.answer().status(204).header("Upload-Offset", "30")
		return
	}
	u := e.create(100)
	conn := e.rawConn()
	conn.send("PATCH " + u + " HTTP/1.1\r\nHost: h\r\n" + lines(version, octets, "Upload-Offset: 0", "Content-Length: 100") + "\r\n" + string(content(30)))
	conn.halfClose()
	a := conn.answer(http.MethodPatch).status(500).code("ERR_UNEXPECTED_EOF").header("Retry-After", "1")
	a.checkEvery(http.MethodPatch)
	e.wantOffset(u, 30)
}

func lines(header ...string) string { return strings.Join(header, "\r\n") + "\r\n" }
