package protocoltest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func TestIETFStatus(t *testing.T) {
	runIETF(t, []scenario{
		{"R14_unknown", "an unknown upload is 404, for every method", everyVersion(ietfUnknown)},
		{"R15_get", "GET of an upload that is not complete is like HEAD", everyVersion(ietfGet)},
		{"R38_cancel", "a cancelled upload is gone", everyVersion(ietfCancel)},
		{"R48_foreign", "a client that may not access an upload learns nothing of it", everyVersion(ietfForeign)},
		{"R49_append_fields", "old versions refuse fields of an append on HEAD and DELETE", everyVersion(ietfAppendFields)},
		{"disabled", "switched off, nothing of the draft is served", ietfDisabled},
	})
}

func TestIETFOptions(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"R39_target", "OPTIONS tells limits and media types", ietfOptions},
		{"R39_server", "OPTIONS * tells limits and media types, if the server passes it on", ietfOptionsServer},
	})
}

func TestIETFConcurrency(t *testing.T) {
	runIETF(t, []scenario{
		{"R35_head", "HEAD preempts a running PATCH, and its offset can be continued at", everyVersion(ietfHeadPreempts)},
		{"R36_cancel", "DELETE preempts a running PATCH", everyVersion(ietfCancelPreempts)},
		{"R35_creation", "HEAD preempts a running creation", newest(ietfHeadPreemptsCreation)},
		{"R37_race", "of PATCHes at one offset at most one succeeds, and bytes are never mixed", newest(ietfRace)},
		{"R45_full_disk", "a full disk is 507 and what was stored counts", newest(ietfFullDisk)},
		{"R45_record", "a completion that cannot be written is a transient error", newest(ietfUndeclared)},
		{"R45_unfinished", "an upload that the store fails to finish is finished later, with one event", newest(ietfUnfinished)},
		{"R46_restart", "a server that stops keeps what arrived", everyVersion(ietfRestart)},
	})
}

func ietfUnknown(d *ietfClient) {
	for _, target := range []string{"/files/unknown", "/files/a/b", "/files/x.info"} {
		d.head(target).status(404).without("Upload-Offset", "Upload-Complete", "Upload-Incomplete")
		d.do(http.MethodGet, target, nil).status(404).without("Upload-Offset")
		d.append(target, 0, false, []byte("data")).status(404)
		d.cancel(target).status(404)
	}
}

func ietfGet(d *ietfClient) {
	u := d.create(false, content(4), "Upload-Length: 10").status(201).location()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := d.do(method, u, nil).status(204).header("Upload-Offset", "4").header("Upload-Length", "10").header("Cache-Control", "no-store")
		if d.wantComplete(a, false); len(a.Body) > 0 {
			d.env.Errorf("%s has a body: %q", method, a.Body)
		}
	}
}

func ietfCancel(d *ietfClient) {
	for _, complete := range []bool{true, false} {
		u := d.create(complete, content(4)).status(201).location()
		d.cancel(u).status(204)
		d.cancel(u).status(404, 410)
		d.head(u).status(404, 410)
		d.append(u, 4, false, nil).status(404, 410)
	}
}

func ietfForeign(d *ietfClient) {
	d.env.config.Callbacks.PreAccess = func(_ context.Context, event tusd.Event) error {
		if len(event.HTTPRequest.Header["X-Owner"]) == 0 {
			return tusd.ErrAccessDenied
		}
		return nil
	}
	owner := "X-Owner: yes"
	u := d.create(false, content(4)).status(201).location()
	for _, target := range []string{u, "/files/unknown"} {
		d.head(target).status(403).without("Upload-Offset")
		d.do(http.MethodGet, target, nil).status(403).without("Upload-Offset")
		d.append(target, 0, false, []byte("data")).refusedWith(403, "ERR_ACCESS_DENIED", "").without("Upload-Offset")
		d.cancel(target).status(403)
	}
	d.append(u, 4, true, nil, owner).status(d.appended())
	d.raw(http.MethodHead, u, nil, d.header(owner)...).status(204, 200).header("Upload-Offset", "4")
}

func ietfAppendFields(d *ietfClient) {
	u := d.create(false, content(4)).status(201).location()
	old := d.interop >= 3 && d.interop <= 6
	for _, line := range []string{"Upload-Offset: 4", "Upload-Complete: ?0", "Upload-Incomplete: ?1"} {
		a := d.do(http.MethodHead, u, nil, line)
		if old {
			a.status(400)
			d.do(http.MethodDelete, u, nil, line).refusedWith(400, "ERR_UNEXPECTED_HEADER", "")
			continue
		}
		a.status(204).header("Upload-Offset", "4")
	}
	d.want(u, 4, false)
}

func ietfDisabled(e *env) {
	d := e.ietf(9)
	u := d.begin()
	e.restart()
	e.config.DisableIETF = true
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
		e.raw(method, "/files/", nil, d.header("Upload-Complete: ?0")...).status(412).without("Upload-Limit", "Location")
	}
	e.raw(http.MethodHead, u, nil, d.header()...).status(412)
	e.raw(http.MethodPatch, u, nil, d.header(d.appendHeader(0, true)...)...).status(412)
	e.raw(http.MethodDelete, u, nil, d.header()...).status(412)
	e.raw(http.MethodOptions, "/files/", nil).status(200).without("Upload-Limit", "Accept-Patch")
	e.head(u).status(200).header("Upload-Offset", "0").header("Upload-Defer-Length", "1")
	e.patch(u, 0, content(4), "Upload-Length: 4").status(204)
	e.get(u).status(200).without("Upload-Limit")
}

func ietfOptions(e *env) {
	e.config.DisableIETF = false
	for _, target := range []string{"/files/", "/files/unknown"} {
		for _, header := range [][]string{nil, {"Upload-Draft-Interop-Version: 9"}, {version}, {"Origin: https://example.org", "Access-Control-Request-Method: PUT"}} {
			a := e.raw(http.MethodOptions, target, nil, header...).status(200).header("Tus-Version", "1.0.0")
			wantLimit(a).header("Accept-Patch", "application/offset+octet-stream, application/partial-upload")
		}
	}
}

func ietfOptionsServer(e *env) {
	e.config.DisableIETF, e.config.MaxSize = false, 100
	e.mount = func(h http.Handler) http.Handler { return h }
	listen := e.protocol.listen
	e.protocol.listen = func(s *httptest.Server) {
		s.Config.DisableGeneralOptionsHandler = true // as the daemon has to
		listen(s)
	}
	wantLimit(e.raw(http.MethodOptions, "*", nil), "max-size=100").status(200).headerMatches("Accept-Patch", "partial-upload")
}

func ietfHeadPreempts(d *ietfClient) {
	data := content(100)
	u := d.begin()
	other := &ietfClient{d.another(), d.interop}
	s := other.openAppend(u, 0, 100, true)
	s.sendAndSee(data[:40])
	asked := time.Now()
	d.want(u, 40, false)
	if waited := time.Since(asked); waited > 5*time.Second {
		d.env.Errorf("HEAD took %v", waited)
	}
	a := s.answer().refusedWith(503, "ERR_UPLOAD_INTERRUPTED", "")
	d.wantComplete(a, false)
	d.append(u, 40, true, data[40:]).status(d.appended())
	d.env.wantStored(u, data)
}

func ietfCancelPreempts(d *ietfClient) {
	u := d.begin()
	other := &ietfClient{d.another(), d.interop}
	s := other.openAppend(u, 0, 100, false)
	s.sendAndSee(content(40))
	d.cancel(u).status(204)
	s.answer().status(503, 404)
	d.head(u).status(404, 410)
}

func ietfHeadPreemptsCreation(d *ietfClient) {
	data := content(100)
	other := &ietfClient{d.another(), d.interop}
	s := other.open(http.MethodPost, "/files/", 100, d.completeness(true))
	u := s.announced()
	s.sendAndSee(data[:40])
	d.want(u, 40, false)
	a := s.answer().refusedWith(503, "ERR_UPLOAD_INTERRUPTED", "")
	if d.wantComplete(a, false); a.location() != u {
		d.env.Errorf("the answer names %s, the 104 named %s", a.location(), u)
	}
	d.append(u, 40, true, data[40:]).status(204)
	d.env.wantStored(u, data)
}

func ietfRace(d *ietfClient) {
	const rivals, size = 4, 64 << 10
	u := d.begin()
	var wins atomic.Int32
	var group sync.WaitGroup
	for i := range rivals {
		rival := &ietfClient{d.another(), d.interop}
		rival.connect()
		group.Go(func() {
			body := []byte(strings.Repeat(string(rune('a'+i)), size))
			a := rival.append(u, 0, false, body).status(204, 409, 503)
			if a.Status == 204 {
				wins.Add(1)
			}
		})
	}
	group.Wait()
	stored := d.env.stored(u)
	if int64(len(stored)) != d.offsetOf(u) || wins.Load() > 1 || len(stored) > size || strings.Trim(string(stored), string(stored[:min(1, len(stored))])) != "" {
		d.env.Errorf("%d rivals succeeded, and %d bytes are stored", wins.Load(), len(stored))
	}
}

func ietfFullDisk(d *ietfClient) {
	small := &smallStore{DataStore: d.env.config.StoreComposer.Core, space: 40}
	d.env.config.StoreComposer.Core = small
	u := d.begin()
	a := d.append(u, 0, false, content(100)).refusedWith(507, "ERR_NO_SPACE", "").header("Upload-Offset", "40")
	d.wantComplete(a, false)
	d.want(u, 40, false)
	small.space = 1000
	d.append(u, 40, false, content(100)[40:]).status(204)
	d.env.wantStored(u, content(100))
}

// brokenDeferrer fails while broken is set.
type brokenDeferrer struct {
	tusd.LengthDeferrer
	broken *atomic.Bool
}

func (b brokenDeferrer) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	if b.broken.Load() {
		return errors.New("the record cannot be written")
	}
	return b.LengthDeferrer.DeclareLength(ctx, upload, length)
}

func ietfUndeclared(d *ietfClient) {
	composer := d.env.config.StoreComposer
	broken := new(atomic.Bool)
	composer.LengthDeferrer = brokenDeferrer{composer.LengthDeferrer, broken}
	u := d.begin()
	broken.Store(true)
	a := d.append(u, 0, true, content(40)).refusedWith(503, "ERR_INTERNAL_SERVER_ERROR", "")
	d.wantComplete(a, false)
	d.want(u, 40, false)
	broken.Store(false)
	d.append(u, 40, true, nil).status(204)
	d.want(u, 40, true)
}

// failingFinishStore cannot finish uploads while stuck is set.
type failingFinishStore struct {
	tusd.DataStore
	stuck *atomic.Bool
}

func (s failingFinishStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.DataStore.GetUpload(ctx, lease, id)
	return stuckUpload{upload, s.stuck}, err
}

type stuckUpload struct {
	tusd.Upload
	stuck *atomic.Bool
}

func (u stuckUpload) FinishUpload(ctx context.Context) error {
	if u.stuck.Load() {
		return errors.New("the upload cannot be finished")
	}
	return u.Upload.FinishUpload(ctx)
}

func ietfUnfinished(d *ietfClient) {
	e, stuck := d.env, new(atomic.Bool)
	e.config.StoreComposer.Core = failingFinishStore{e.config.StoreComposer.Core, stuck}
	e.changes = append(e.changes, firstRetry(time.Millisecond))
	events := watchEvents(e)
	u := d.client.create(10)
	stuck.Store(true)
	d.append(u, 0, true, content(10)).refusedWith(503, "ERR_FINISH_FAILED", "")
	d.head(u).status(503, 423)
	d.client.head(u).status(423)
	stuck.Store(false)
	e.eventually("it is finished after all", func() bool { return d.head(u).Status == 204 })
	d.want(u, 10, true)
	events(tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostFinish)
}

func ietfRestart(d *ietfClient) {
	data := content(100)
	u := d.create(false, data[:10]).status(201).location()
	s := d.openAppend(u, 10, 90, true)
	s.sendAndSee(data[10:60])
	d.env.restart()
	offset := d.offsetOf(u)
	if offset < 10 || offset > 60 {
		d.env.Errorf("after the restart the offset is %d, between 10 and 60 is possible", offset)
	}
	d.want(u, offset, false)
	d.append(u, offset, true, data[offset:]).status(d.appended())
	d.env.wantStored(u, data)
}
