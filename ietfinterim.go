package tusd

import (
	"net/http"

	"github.com/tus/tusd/internal/deadline"
)

// sendsInterim reports whether the client accepts 104 responses.
func (d *ietfDialect) sendsInterim(x *exchange) bool { return !d.noVersion && x.r.ProtoAtLeast(1, 1) }

// announceUpload sends the 104 that has the upload's Location, before its content has
// arrived.
func (d *ietfDialect) announceUpload(x *exchange, info FileInfo) {
	x.inform(statusProgress, interopField, formatInt(d.interop), "Location", x.location(info.ID), "Upload-Limit", d.limitOf(x, &info))
	if x.r.ProtoMajor == 2 {
		// After any other interim answer, net/http's HTTP/2 does not send the 100 that
		// a client may wait for, and it does not report whether one waits.
		x.inform(http.StatusContinue)
	}
}

// reportProgress sends a 104 with the stored offset, about once a second.
func (d *ietfDialect) reportProgress(x *exchange, offset int64) {
	x.inform(statusProgress, interopField, formatInt(d.interop), "Upload-Offset", formatInt(offset))
}

// inform sends an interim answer with these fields and no others. net/http would also
// send the fields that are set for the final answer, so they are removed meanwhile.
//
// Wrappers of frameworks take an interim answer for the final one, and drop the status that
// comes after it. So inform goes around them, and sends nothing if one hides the deadlines,
// because it has no Unwrap.
func (x *exchange) inform(status int, fields ...string) {
	x.deadlines.BeforeWrite()
	defer x.deadlines.AfterWrite()
	if x.deadlines.Broken() {
		return
	}
	w := deadline.Innermost(x.ResponseWriter)
	header := w.Header()
	final := header.Clone()
	clear(header)
	for i := 0; i+1 < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	w.WriteHeader(status)
	clear(header)
	for name, values := range final {
		header[name] = values
	}
}
