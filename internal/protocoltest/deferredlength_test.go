package protocoltest

import "testing"

func TestDeferredLength(t *testing.T) {
	run(t, []scenario{
		{"case075_create", "POST with Upload-Defer-Length: 1: 201; HEAD says so and has no length", deferCreate},
		{"case076_bad_value", "Upload-Defer-Length other than 1: 400, nothing created", deferBadValue},
		{"case077_both", "Upload-Length beside Upload-Defer-Length: 400, nothing created", deferBoth},
		{"case078_patch", "PATCHes without length: 204, still deferred", deferPatch},
		{"case079_declare", "PATCH with Upload-Length declares it", deferDeclare},
		{"case080_redeclare", "another Upload-Length later: 400, unchanged; the same: accepted", deferRedeclare},
		{"case081_below_offset", "Upload-Length below the offset: 400, unchanged", deferBelowOffset},
		{"case082_above_limit", "Upload-Length above Tus-Max-Size: 413, unchanged", deferAboveLimit},
		{"case083_declare_at_end", "an empty PATCH that declares length = offset completes, once", deferDeclareAtEnd},
		{"case084_stream_past_limit", "a deferred upload stops at Tus-Max-Size: 413", deferPastLimit},
		{"case085_change_length", "Upload-Length on PATCH that differs from the known one: 400, unchanged", deferChangeLength},
		{"case086_switched_off", "without creation-defer-length POST with it: 400 or 501", deferSwitchedOff},
		{"case086_store_cannot", "with a store that cannot: 501", deferStoreCannot},
		{"declare_too_short_for_body", "a length that the same PATCH's body exceeds: 413, neither it nor the body is stored", deferBodyBeyond},
		{"declare_bad_length", "an Upload-Length that is no integer: 400, unchanged", deferBadLength},
	})
}

func deferCreate(e *env) {
	e.head(e.createDeferred()).status(200).header("Upload-Defer-Length", "1").header("Upload-Offset", "0").without("Upload-Length")
}

func deferBadValue(e *env) {
	for _, bad := range []string{"2", "0", "true", "", "01", "1,1", "1 1"} {
		e.post("Upload-Defer-Length: " + bad).status(400).without("Location")
	}
	e.post("Upload-Defer-Length: 1", "Upload-Defer-Length: 1").status(400)
	e.wantNoUploads()
}

func deferBoth(e *env) {
	e.post("Upload-Defer-Length: 1", "Upload-Length: 100").status(400).code("ERR_AMBIGUOUS_UPLOAD_LENGTH")
	e.wantNoUploads()
}

func deferPatch(e *env) {
	u := e.createDeferred()
	e.patch(u, 0, content(40)).status(204).header("Upload-Offset", "40")
	e.patch(u, 40, content(10), chunked).status(204).header("Upload-Offset", "50")
	e.head(u).status(200).header("Upload-Defer-Length", "1").header("Upload-Offset", "50").without("Upload-Length")
}

// deferredAt40 makes an upload of deferred length with 40 bytes.
func (e *env) deferredAt40() string {
	e.Helper()
	u := e.createDeferred()
	e.patch(u, 0, content(100)[:40]).status(204)
	return u
}

func (e *env) wantDeferredAt40(u string) {
	e.Helper()
	e.head(u).status(200).header("Upload-Defer-Length", "1").header("Upload-Offset", "40").without("Upload-Length")
}

func deferDeclare(e *env) {
	u := e.deferredAt40()
	e.patch(u, 40, content(100)[40:80], "Upload-Length: 80").status(204).header("Upload-Offset", "80")
	e.head(u).status(200).header("Upload-Length", "80").without("Upload-Defer-Length")
	e.wantStored(u, content(80))
	e.get(u).status(200)
}

func deferRedeclare(e *env) {
	u := e.deferredAt40()
	e.patch(u, 40, nil, "Upload-Length: 80").status(204)
	e.patch(u, 40, nil, "Upload-Length: 120").status(400).code("ERR_INVALID_UPLOAD_LENGTH")
	e.head(u).status(200).header("Upload-Length", "80").header("Upload-Offset", "40")
	e.patch(u, 40, nil, "Upload-Length: 80").status(204)
}

func deferBelowOffset(e *env) {
	u := e.deferredAt40()
	e.patch(u, 40, nil, "Upload-Length: 30").status(400).code("ERR_INVALID_UPLOAD_LENGTH")
	e.wantDeferredAt40(u)
}

func deferAboveLimit(e *env) {
	e.config.MaxSize = 1000
	u := e.deferredAt40()
	e.patch(u, 40, nil, "Upload-Length: 1001").status(413).code("ERR_MAX_SIZE_EXCEEDED")
	e.wantDeferredAt40(u)
}

func deferDeclareAtEnd(e *env) {
	e.countFinishes()
	u := e.deferredAt40()
	for range 2 {
		e.patch(u, 40, nil, "Upload-Length: 40").status(204).header("Upload-Offset", "40")
	}
	e.head(u).status(200).header("Upload-Length", "40").without("Upload-Defer-Length")
	e.get(u).status(200)
	if n := e.finished.Load(); n != 1 {
		e.Errorf("finished %d times, want once", n)
	}
}

func deferPastLimit(e *env) {
	e.config.MaxSize = 50
	for _, header := range [][]string{nil, {chunked}} {
		u := e.deferredAt40()
		e.patch(u, 40, content(20), header...).status(413)
		if n := e.offset(u); n < 40 || n > 50 {
			e.Errorf("offset %d after a body beyond the limit of 50", n)
		}
		e.head(u).header("Upload-Defer-Length", "1")
	}
}

func deferChangeLength(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(10), "Upload-Length: 200").status(400).code("ERR_INVALID_UPLOAD_LENGTH")
	e.head(u).status(200).header("Upload-Length", "100").header("Upload-Offset", "0")
	e.patch(u, 0, content(10), "Upload-Length: 100").status(204)
}

func deferSwitchedOff(e *env) {
	e.config.DisableDeferLength = true
	e.post("Upload-Defer-Length: 1").status(400, 501).without("Location")
	e.wantNoUploads()
}

func deferStoreCannot(e *env) {
	e.config.StoreComposer.LengthDeferrer = nil
	e.post("Upload-Defer-Length: 1").status(501).code("ERR_NOT_IMPLEMENTED")
	e.wantNoUploads()
}

func deferBodyBeyond(e *env) {
	u := e.deferredAt40()
	e.patch(u, 40, content(50), "Upload-Length: 60").status(413)
	e.wantDeferredAt40(u)
	for _, length := range []string{"40", "41", "60"} {
		e.patch(u, 40, content(50), "Upload-Length: "+length, chunked).status(413)
		e.wantDeferredAt40(u)
	}
	e.patch(u, 40, content(100)[40:], "Upload-Length: 100", chunked).status(204)
	e.wantStored(u, content(100))
}

func deferBadLength(e *env) {
	u := e.deferredAt40()
	for _, bad := range notIntegers {
		e.patch(u, 40, nil, "Upload-Length: "+bad).status(400)
	}
	e.patch(u, 40, nil, "Upload-Length: 80", "Upload-Length: 80").status(400)
	e.wantDeferredAt40(u)
}
