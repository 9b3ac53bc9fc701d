package protocoltest

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestConcurrency(t *testing.T) {
	runAlone(t, storeKinds, []scenario{
		{"case044_two_patches", "of two PATCHes at the same time exactly one is 204, and only its bytes are stored", twoPatches},
		{"case044_two_large_patches", "of two large PATCHes at the same time at most one is 204, and only its bytes are stored", twoLargePatches},
		{"whole_content_counts", "a PATCH of which all bytes have come is 204, also if a newer request comes before its end is seen", wholeContentCounts},
		{"whole_at_shutdown", "a PATCH of which all bytes have come when the server shuts down is 204", wholeAtShutdown},
		{"whole_not_verified", "the same PATCH is not 204 if its checksum was not compared, and content with a wrong checksum is not stored", wholeNotVerified},
		{"case045_head_preempts", "HEAD preempts a running PATCH within 100 ms, its bytes are kept", headPreempts},
		{"case045_patch_preempts", "a newer PATCH preempts a stalled one within 100 ms, its bytes are kept", patchPreempts},
		{"case046_delete_preempts", "DELETE during a running PATCH: 204, and the upload never comes back", deletePreempts},
		{"case047_expect_wrong_offset", "Expect: 100-continue with a wrong offset: 409 and no 100", expectWrongOffset},
		{"case047_expect_right_offset", "Expect: 100-continue with the right offset: 100, then 204", expectRightOffset},
		{"get_does_not_preempt", "GET does not preempt a running PATCH", getLeavesPatch},
		{"many_clients", "many clients of one upload complete it, with the right content", manyClients},
	})
}

func twoPatches(e *env) {
	for range 5 {
		u := e.create(100)
		bodies := [][]byte{bytes.Repeat([]byte("a"), 40), bytes.Repeat([]byte("b"), 40)}
		answers := e.patchAtOnce(u, bodies)
		won := 0
		for i, a := range answers {
			if a.Status == 204 {
				won++
				e.wantStored(u, bodies[i])
			}
		}
		if won != 1 {
			e.Errorf("%d of two PATCHes got 204 (%d, %d), want exactly one", won, answers[0].Status, answers[1].Status)
		}
		e.wantOffset(u, 40)
	}
}

func twoLargePatches(e *env) {
	const size = 4 << 20
	u := e.create(2 * size)
	answers := e.patchAtOnce(u, [][]byte{bytes.Repeat([]byte("a"), size), bytes.Repeat([]byte("b"), size)})
	if answers[0].Status == 204 && answers[1].Status == 204 {
		e.Error("both PATCHes at one offset got 204")
	}
	stored := e.stored(u)
	if len(stored) == 0 || len(bytes.Trim(stored, string(stored[:1]))) > 0 {
		e.Errorf("%d bytes stored are not those of one PATCH alone", len(stored))
	}
	e.wantOffset(u, int64(len(stored)))
}

// patchAtOnce sends PATCHes at offset 0, each from a client of its own.
func (e *env) patchAtOnce(u string, bodies [][]byte) []*answer {
	clients := make([]*client, len(bodies))
	for i := range clients {
		clients[i] = e.another()
		clients[i].connect()
	}
	answers := make([]*answer, len(bodies))
	var group sync.WaitGroup
	for i, body := range bodies {
		group.Go(func() { answers[i] = clients[i].patch(u, 0, body).status(204, 409, 423) })
	}
	group.Wait()
	return answers
}

// soon is how long a newer request waits for an older one at most.
const soon = 100 * time.Millisecond

// preempted runs take while a PATCH has sent 30 of 100 bytes and stalls. The fastest of some
// attempts counts: the machine may be busy.
func preempted(e *env, take func(u string)) {
	var took time.Duration
	for range 5 {
		u := e.create(100)
		s := e.another().open(u, 0, 100)
		s.sendAndSee(content(100)[:30])
		start := time.Now()
		take(u)
		took = time.Since(start)
		s.answer().status(423).code("ERR_UPLOAD_INTERRUPTED").header("Retry-After", "1")
		if took <= soon {
			return
		}
	}
	e.Errorf("the newer request took %v, want at most %v", took, soon)
}

func wholeContentCounts(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 40)
	s.sendAndSee(content(100)[:40])
	e.wantOffset(u, 40)
	s.answer().status(204).header("Upload-Offset", "40")
	e.patch(u, 40, content(100)[40:]).status(204)
	e.wantStored(u, content(100))
}

func wholeAtShutdown(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 40)
	s.sendAndSee(content(100)[:40])
	if err := e.handler.Shutdown(e.Context()); err != nil {
		e.Errorf("Shutdown: %v", err)
	}
	s.answer().status(204).header("Upload-Offset", "40")
	e.waitIdle()
	e.restart()
	e.wantOffset(u, 40)
}

// Over HTTP/1.1 the handler reads the end of such content with its last byte.
func wholeNotVerified(e *env) {
	atEnd := func(http1, http2 int) int {
		if e.protocol.name == "http1" {
			return http1
		}
		return http2
	}
	data := content(100)[:40]
	u := e.create(100)
	s := e.another().open(u, 0, 40, checksum("sha1", data[1:]))
	s.sendAndSee(data)
	e.wantOffset(u, 0)
	s.answer().status(atEnd(460, 423))

	u = e.create(100)
	s = e.another().open(u, 0, 40, "Trailer: Expires") // the checksum may come beside it, unannounced
	s.sendAndSee(data)
	e.wantOffset(u, 40)
	s.answer().status(atEnd(204, 423))
}

func headPreempts(e *env) {
	preempted(e, func(u string) {
		e.wantOffset(u, 30)
	})
}

func patchPreempts(e *env) {
	preempted(e, func(u string) {
		e.patch(u, 30, content(100)[30:]).status(204).header("Upload-Offset", "100")
	})
}

func deletePreempts(e *env) {
	preempted(e, func(u string) {
		e.terminate(u).status(204)
		e.wantGone(u)
	})
	e.waitIdle()
	if n := e.countUploads(); n != 0 {
		e.Errorf("%d uploads came back", n)
	}
}

func expectWrongOffset(e *env) {
	u := e.create(100)
	for _, header := range []string{"Upload-Offset: 50", "Upload-Offset: x"} {
		s := e.openExpecting(u, header)
		s.answer().status(409, 400)
		select {
		case <-s.Continued():
			e.Error("the body was asked for")
		default:
		}
	}
	s := e.openExpecting(u, "Upload-Offset: 50")
	s.answer().status(409).header("Upload-Offset", "0")
	e.wantOffset(u, 0)
}

// openExpecting opens a PATCH of 40 bytes with Expect: 100-continue.
func (e *env) openExpecting(u, offset string) *openRequest {
	e.Helper()
	return e.another().openMethod(http.MethodPatch, u, 40, version, octets, "Expect: 100-continue", offset)
}

func expectRightOffset(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 40)
	s.send(content(40))
	s.end()
	s.answer().status(204).header("Upload-Offset", "40")
}

func getLeavesPatch(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 100)
	s.sendAndSee(content(100)[:30])
	e.get(u, version).status(409)
	s.send(content(100)[30:])
	s.end()
	s.answer().status(204).header("Upload-Offset", "100")
	e.wantStored(u, content(100))
}

func manyClients(e *env) {
	const size, clients = 1 << 20, 20
	data := content(size)
	u := e.create(size)
	var group sync.WaitGroup
	for range clients {
		c := e.another()
		c.connect()
		group.Go(func() { c.finish(u, data) })
	}
	group.Wait()
	e.wantOffset(u, size)
	e.wantStored(u, data)
}

// finish continues an upload until it is complete, as a client that always retries.
func (c *client) finish(u string, data []byte) {
	for start := time.Now(); time.Since(start) < 20*time.Second; {
		a := c.head(u).status(200, 423)
		offset, err := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
		switch {
		case err != nil:
			continue
		case offset == int64(len(data)):
			return
		}
		c.patch(u, offset, data[offset:]).status(204, 409, 423)
	}
	c.env.Error("the upload is not complete after 20 s")
}
