package protocoltest

import (
	"net/http"
	"testing"
)

func TestTermination(t *testing.T) {
	run(t, []scenario{
		{"case110_fresh", "DELETE of a fresh upload: 204, then it is gone", func(e *env) { terminateAt(e, 0) }},
		{"case110_half", "DELETE of half an upload: 204, then it is gone", func(e *env) { terminateAt(e, 50) }},
		{"case110_finished", "DELETE of a finished upload: 204, then it is gone", func(e *env) { terminateAt(e, 100) }},
		{"case111_unknown", "DELETE of an unknown id: 404", terminateUnknown},
		{"stays_gone", "a terminated upload is gone after a restart, too", terminateRestart},
	})
}

func terminateAt(e *env, n int64) {
	u := e.create(100)
	e.patch(u, 0, content(n)).status(204)
	e.terminate(u).status(204)
	e.wantGone(u)
}

// wantGone checks that an upload is not served and not stored.
func (e *env) wantGone(u string) {
	e.Helper()
	e.head(u).status(404, 410).without("Upload-Offset")
	e.patch(u, 0, content(10)).status(404, 410)
	e.terminate(u).status(404, 410)
	e.get(u, version).status(404, 410)
	if n := e.countUploads(); n != 0 {
		e.Errorf("the store still has %d uploads", n)
	}
}

func terminateUnknown(e *env) {
	e.terminate("/files/unknown").status(404)
	e.do(http.MethodDelete, "/files/unknown", nil).status(404)
}

func terminateRestart(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(50)).status(204)
	e.terminate(u).status(204)
	e.restart()
	e.wantGone(u)
}
