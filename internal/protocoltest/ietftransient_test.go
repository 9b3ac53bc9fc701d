package protocoltest

import (
	"net/http"
	"testing"
)

// In the draft, transient errors have other statuses than in tus 1.0, and others again in the
// two versions that tus-js-client speaks.
func TestIETFTransientErrors(t *testing.T) {
	runIETF(t, []scenario{
		{"R45_unreachable", "an unreachable store: HEAD 503, but 423 in the versions of tus-js-client", ietfUnreachable},
		{"R24_full_but_open", "HEAD of an upload that has all its bytes and was not completed tells tus-js-client no length", everyVersion(ietfFullButOpen)},
	})
}

func ietfUnreachable(e *env) {
	store := e.failing()
	everyNamed(func(d *ietfClient) {
		store.failing.Store(false)
		u := d.begin()
		store.failing.Store(true)
		status := 503
		if d.interop == 5 || d.interop == 6 {
			status = 423
		}
		d.raw(http.MethodHead, u, nil, d.header()...).status(status).header("Retry-After", "1")
		apple := append(d.header(), "User-Agent: App/1 CFNetwork/3826.500.131 Darwin/24.5.0")
		d.raw(http.MethodHead, u, nil, apple...).status(503).header("Retry-After", "1")
		a := d.append(u, 0, true, content(10)).refusedWith(503, "ERR_INTERNAL_SERVER_ERROR", "")
		d.wantComplete(a, false)
	})(e)
}

func ietfFullButOpen(d *ietfClient) {
	u := d.create(false, content(4), "Upload-Length: 10").status(201).location()
	d.head(u).header("Upload-Length", "10")
	d.append(u, 4, false, content(6)).status(d.appended())
	a := d.head(u).status(204).header("Upload-Offset", "10")
	if d.wantComplete(a, false); d.interop == 5 || d.interop == 6 {
		a.without("Upload-Length")
	} else {
		a.header("Upload-Length", "10")
	}
	d.append(u, 10, true, nil).status(d.appended())
	d.want(u, 10, true)
}
