package protocoltest

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/wire"
)

func TestRunning(t *testing.T) {
	run(t, []scenario{
		{"listed", "a request is listed with who sends it and how far it is, while its content is received", runningIsListed},
		{"counted", "received bytes are counted while the content is received, also if its checksum is wrong then", receivedIsCounted},
	})
}

func runningIsListed(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(100)[:10]).status(204)
	if running := e.handler.Running(); len(running) != 0 {
		e.Errorf("nothing is received, but listed: %v", running)
	}
	before := time.Now()
	s := e.another().open(u, 10, 90, "X-Request-Id: the-request")
	s.sendAndSee(content(100)[10:40])
	e.eventually("the request is listed with all bytes", func() bool {
		running := e.handler.Running()
		return len(running) == 1 && running[0].Received == 30
	})
	got := e.handler.Running()[0]
	if got.Since.Before(before) || got.Since.After(time.Now()) {
		e.Errorf("since %v, want a time after %v", got.Since, before)
	}
	got.Since = time.Time{}
	want := tusd.RunningRequest{ID: idOf(u), Method: "PATCH", RequestID: "the-request", Client: "127.0.0.1", Offset: 10, Received: 30}
	if got != want {
		e.Errorf("listed %+v, want %+v", got, want)
	}
	other := e.another().open(e.create(5), 0, 5)
	e.eventually("both requests are listed, the oldest first", func() bool {
		running := e.handler.Running()
		return len(running) == 2 && running[0].ID == idOf(u)
	})
	s.send(content(100)[40:])
	other.send(content(5))
	for _, r := range []*openRequest{s, other} {
		r.end()
		r.answer().status(204)
	}
	e.waitIdle()
	if running := e.handler.Running(); len(running) != 0 {
		e.Errorf("all have ended, but listed: %v", running)
	}
}

func receivedIsCounted(e *env) {
	counted := func(want uint64) {
		e.Helper()
		e.eventually("the bytes are counted", func() bool { return e.handler.Metrics().BytesReceived.Load() == want })
	}
	u, data := e.create(100), content(100)
	s := e.another().open(u, 0, 50)
	s.send(data[:20])
	counted(20)
	s.send(data[20:30])
	counted(30)
	s.send(data[30:50])
	s.end()
	s.answer().status(204)
	counted(50)
	e.patch(u, 50, data[50:60], checksum("sha1", data[:1])).status(460)
	counted(60)
	e.patch(u, 0, data[:10]).status(409)
	counted(60)
	e.wantOffset(u, 50)
}

func TestStopUpload(t *testing.T) {
	require.Long(t) // one scenario after another, because they measure times
	var scenarios []scenario
	for _, s := range stops {
		scenarios = append(scenarios, scenario{s.name, "a stop with an answer reaches the client within 100 ms, and what arrived is kept", s.test})
	}
	runAlone(t, storeKinds, append(scenarios,
		scenario{"default", "a stop without an answer is 400 ERR_UPLOAD_STOPPED, or a transient error if it is that", stopWithTableErrors},
		scenario{"impossible_status", "a status that no answer can have is the usual one", stopWithImpossibleStatus},
		scenario{"too_large", "an answer that the upload is too large does not fail it", stopAsTooLarge},
		scenario{"unknown", "nothing is stopped if nothing is received for the id", stopUnknown},
		scenario{"whole", "content that has arrived as a whole counts, whatever stops it", stopWhole},
		scenario{"terminate", "Terminate gives its answer to the request that it interrupts", terminateAnswers},
	))
}

// stops are requests that are stopped. Each sends 30 bytes first.
var stops = []struct {
	name string
	test func(*env)
}{
	{"tus", stopTus(100)},
	{"tus_chunked", stopTus(-1)},
	{"tus_creation", func(e *env) {
		e.start()
		e.stopSoon(30, func() stoppable {
			s := e.another().openMethod(http.MethodPost, "/files/", 100, version, octets, "Upload-Length: 100")
			s.sendAndSee(content(30))
			return s
		})
	}},
	{"tus_checksum", func(e *env) {
		e.stopSoon(0, func() stoppable {
			s := e.another().open(e.create(100), 0, 100, checksum("sha1", content(100)))
			s.sendAndSee(content(30))
			return s
		})
	}},
	{"ietf", stopIETF(100)},
	{"ietf_unknown_length", stopIETF(-1)},
	{"ietf_creation", func(e *env) {
		e.config.DisableIETF = false
		e.start()
		e.stopSoon(30, func() stoppable {
			d := &ietfClient{e.another(), 9}
			s := d.open(http.MethodPost, "/files/", 100, d.completeness(true))
			s.sendAndSee(content(30))
			return unchecked{s.openRequest}
		})
	}},
	{"sending", func(e *env) {
		e.start()
		e.stopSoon(-1, func() stoppable {
			s := e.another().open(e.create(1<<30), 0, 1<<30)
			s.sendAndSee(content(30))
			go func() {
				for data := make([]byte, 16<<10); ; {
					if _, err := s.Write(data); err != nil {
						return
					}
				}
			}()
			return s
		})
	}},
}

func stopTus(length int64) func(*env) {
	return func(e *env) {
		e.stopSoon(30, func() stoppable {
			s := e.another().open(e.create(100), 0, length)
			s.sendAndSee(content(30))
			return s
		})
	}
}

func stopIETF(length int64) func(*env) {
	return func(e *env) {
		e.config.DisableIETF = false
		e.stopSoon(30, func() stoppable {
			d := &ietfClient{e.another(), 9}
			s := d.openAppend(e.ietf(9).begin(), 0, length, false)
			s.sendAndSee(content(30))
			return unchecked{s.openRequest}
		})
	}
}

// stoppable is a request that was begun.
type stoppable interface{ answer() *answer }

// unchecked is a request whose answer has the content of a program.
type unchecked struct{ *openRequest }

// answer waits for the answer, and checks nothing.
func (r unchecked) answer() *answer {
	plain, err := r.Answer()
	return r.env.answer(r.String(), plain, err)
}

// refusal is an answer with all that a program can set.
var refusal = tusd.ErrUploadStopped.Refuse(tusd.HTTPResponse{
	StatusCode: 451, Body: "ERR_NOT_HERE: said the program\n", Header: map[string]string{"X-Reason": "law"},
})

// stopSoon begins a request and stops it. Afterwards the upload has kept bytes; -1: any
// number. The fastest of some attempts counts.
func (e *env) stopSoon(kept int64, begin func() stoppable) {
	soonAtBest(e, func() time.Duration {
		s := begin()
		id := e.runningID()
		start := time.Now()
		if !e.handler.StopUpload(id, refusal) {
			e.Error("StopUpload reports that nothing is being received")
		}
		a := s.answer().status(451).header("X-Reason", "law")
		took := time.Since(start)
		if string(a.Body) != refusal.Response.Body {
			e.Errorf("the answer has the body %q", a.Body)
		}
		e.waitIdle()
		info, err := e.handler.Info(e.Context(), id)
		if err != nil || kept >= 0 && info.Offset != kept {
			e.Errorf("the upload has %d bytes, want %d; %v", info.Offset, kept, err)
		}
		return took
	})
}

// runningID waits for one running request and returns the id of its upload.
func (e *env) runningID() (id string) {
	e.Helper()
	e.eventually("a request is listed", func() bool {
		running := e.handler.Running()
		if len(running) == 1 {
			id = running[0].ID
		}
		return len(running) == 1
	})
	return id
}

func stopWithTableErrors(e *env) {
	u := e.create(100)
	for _, c := range []struct {
		answer *tusd.Error
		status int
		code   string
	}{{nil, 400, "ERR_UPLOAD_STOPPED"}, {tusd.ErrUploadInterrupted, 423, "ERR_UPLOAD_INTERRUPTED"}, {tusd.ErrTooManyUploads, tusd.ErrTooManyUploads.Status.Tus, "ERR_TOO_MANY_UPLOADS"}} {
		offset := e.offset(u)
		s := e.another().open(u, offset, 100-offset)
		s.sendAndSee(content(10))
		if !e.handler.StopUpload(e.runningID(), c.answer) {
			e.Error("StopUpload reports that nothing is being received")
		}
		s.answer().status(c.status).code(c.code)
		e.waitIdle()
		e.wantOffset(u, offset+10)
	}
}

// stopWithImpossibleStatus: the answer has the usual status.
func stopWithImpossibleStatus(e *env) {
	u := e.create(100)
	for _, status := range []int{-1, 42, 103, 600, 1000} {
		offset := e.offset(u)
		s := e.another().open(u, offset, 100-offset)
		s.sendAndSee(content(10))
		e.handler.StopUpload(e.runningID(), tusd.ErrUploadStopped.Refuse(tusd.HTTPResponse{StatusCode: status}))
		s.answer().status(400).code("ERR_UPLOAD_STOPPED")
		e.waitIdle()
		e.wantOffset(u, offset+10)
	}
}

// A program may stop an upload because it is too large: that does not fail the upload.
func stopAsTooLarge(e *env) {
	for _, answer := range []*tusd.Error{tusd.ErrMaxSizeExceeded, tusd.ErrUploadSizeExceeded} {
		e.config.DisableIETF = false
		d := e.ietf(9)
		u := d.create(false, nil).status(201).location()
		s := e.another().openMethod("PATCH", u, 10, "Upload-Draft-Interop-Version: 9", "Upload-Offset: 0", "Upload-Complete: ?0", appendType)
		s.sendAndSee(content(5))
		e.handler.StopUpload(idOf(u), answer)
		if a, err := s.Answer(); err != nil || a.Status != 413 {
			e.Errorf("the stopped request gets %d, %v, want 413", a.Status, err)
		}
		e.waitIdle()
		d.want(u, 5, false)
	}
}

func stopUnknown(e *env) {
	u := e.create(100)
	other := e.another().open(e.create(100), 0, 100)
	other.sendAndSee(content(1))
	for _, id := range []string{idOf(u), "unknown", ""} {
		if e.handler.StopUpload(id, nil) {
			e.Errorf("something of %q was stopped", id)
		}
	}
	other.send(content(100)[1:])
	other.end()
	other.answer().status(204)
	e.waitIdle()
	if e.handler.StopUpload(other.String(), nil) {
		e.Error("a request that has ended was stopped")
	}
}

func stopWhole(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 40)
	s.sendAndSee(content(100)[:40])
	e.handler.StopUpload(idOf(u), refusal)
	s.answer().status(204).header("Upload-Offset", "40")
	e.wantOffset(u, 40)
}

func terminateAnswers(e *env) {
	if e.config.StoreComposer.Terminater == nil {
		e.Fatal("the store removes nothing")
	}
	u := e.create(100)
	s := e.another().open(u, 0, 100)
	s.sendAndSee(content(30))
	e.runningID()
	if err := e.handler.Terminate(e.Context(), idOf(u)); err != nil {
		e.Error(err)
	}
	s.answer().status(410).code("ERR_UPLOAD_TERMINATED")
	e.head(u).status(404, 410)
}

func TestStopRace(t *testing.T) {
	require.Long(t)
	for _, p := range protocols {
		race := scenario{"race", "a stop at the end of a body harms no later request on the connection", stopRace}
		t.Run(p.name, func(t *testing.T) { race.run(t, p, memoryStore) })
	}
}

// stopRace stops PATCHes of two bytes at about the time of their end, 1000 over each protocol.
func stopRace(e *env) {
	const clients, rounds = 50, 20
	var stopped, stored atomic.Int64
	var group sync.WaitGroup
	for range clients {
		u, c := e.createDeferred(), e.another()
		group.Go(func() {
			for range rounds {
				if e.Failed() {
					return
				}
				stopRound(e, c, u, &stopped, &stored)
			}
		})
	}
	group.Wait()
	if stopped.Load() == 0 || stored.Load() == 0 {
		e.Errorf("%d PATCHes were stopped and %d were not: there was no race", stopped.Load(), stored.Load())
	}
}

// stopRound runs one PATCH with a stop, and a HEAD after it on the same connection.
func stopRound(e *env, c *client, u string, stopped, stored *atomic.Int64) {
	before := c.offset(u)
	s := c.openNow(u, before, 2)
	s.send([]byte("a"))
	var stop sync.WaitGroup
	stop.Go(func() {
		randomDelay()
		e.handler.StopUpload(idOf(u), nil)
	})
	randomDelay()
	_, sendErr := s.Write([]byte("b"))
	sendErr = errors.Join(sendErr, s.CloseWrite())
	a := s.answer().status(204, 400)
	stop.Wait()
	if a.Close {
		c.drop()
	} else if sendErr != nil && !errors.Is(sendErr, wire.ErrEnded) {
		e.Errorf("the connection was cut without announcement: %v", sendErr)
	}
	after := c.offset(u)
	if a.Status == 204 {
		stored.Add(1)
		if got := a.Header.Get("Upload-Offset"); after != before+2 || got != strconv.FormatInt(after, 10) {
			e.Errorf("a PATCH of 2 bytes at %d was 204 with offset %s, the offset is %d", before, got, after)
		}
		return
	}
	stopped.Add(1)
	if after < before || after > before+2 {
		e.Errorf("a stopped PATCH of 2 bytes at %d, the offset is %d", before, after)
	}
}
