package protocoltest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/tus/tusd"
)

// An upload of one dialect can be continued in the other, is finished once, and has each
// event once.
func TestIETFMixed(t *testing.T) {
	runIETF(t, []scenario{
		{"tus_on_ietf", "tus continues and completes an upload of the draft", everyVersion(mixedTusOnIETF)},
		{"ietf_on_tus", "the draft continues and completes an upload of tus", everyNamed(mixedIETFOnTus)},
		{"ietf_on_deferred", "the draft completes a tus upload of deferred length", everyNamed(mixedIETFOnDeferred)},
		{"declared_late", "tus completes an upload by declaring the length that is its offset", newest(mixedDeclared)},
		{"tus_respects_length", "tus cannot contradict the length that the draft was told", newest(mixedLengths)},
		{"full_in_between", "an upload of the draft that has all its bytes waits for its completion in either dialect", newest(mixedFull)},
		{"preempts", "a request of one dialect preempts a running one of the other", newest(mixedPreempts)},
		{"unmarked", "without a mark an unfinished upload answers in its creator's dialect", newest(mixedUnmarked)},
		{"final", "uploads of the draft are no partials; a final shows itself in the draft", newest(mixedFinal)},
	})
}

// watchEvents starts the server and returns a function that checks the types of the
// events since its last call.
func watchEvents(e *env) func(want ...tusd.EventType) {
	e.start()
	events := e.handler.Subscribe(100)
	return func(want ...tusd.EventType) {
		e.Helper()
		e.waitIdle()
		var got []tusd.EventType
		for len(events.C) > 0 { // events are sent before the answer
			got = append(got, (<-events.C).Type)
		}
		if !slices.Equal(got, want) {
			e.Errorf("the events are %v, want %v", got, want)
		}
	}
}

func mixedTusOnIETF(d *ietfClient) {
	data := content(30)
	events := watchEvents(d.env)
	u := d.create(false, data[:10], "Upload-Length: 30", "Content-Type: text/plain").status(201).location()
	d.client.head(u).status(200).header("Upload-Offset", "10").header("Upload-Defer-Length", "1").without("Upload-Length", "Upload-Complete")
	d.patch(u, 10, data[10:20]).status(204).header("Upload-Offset", "20")
	d.want(u, 20, false)
	d.patch(u, 20, data[20:], "Upload-Length: 30").status(204).header("Upload-Offset", "30")
	d.want(u, 30, true)
	d.client.head(u).status(200).header("Upload-Length", "30").header("Upload-Offset", "30")
	d.env.wantStored(u, data)
	events(tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostFinish)
}

func mixedIETFOnTus(d *ietfClient) {
	data := content(30)
	events := watchEvents(d.env)
	u := d.client.create(30, "Upload-Metadata: filename YQ==")
	d.want(u, 0, false)
	d.head(u).header("Upload-Length", "30")
	d.append(u, 0, false, data[:10]).status(d.appended())
	d.patch(u, 10, data[10:20]).status(204)
	d.append(u, 20, true, data[20:25]).status(400)
	d.want(u, 20, false)
	d.wantComplete(d.append(u, 20, true, data[20:]).status(d.appended()), true)
	d.want(u, 30, true)
	d.client.head(u).status(200).header("Upload-Offset", "30").header("Upload-Metadata", "filename YQ==")
	d.env.wantStored(u, data)
	events(tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostFinish)
}

func mixedIETFOnDeferred(d *ietfClient) {
	data := content(30)
	events := watchEvents(d.env)
	u := d.createDeferred()
	d.patch(u, 0, data[:10]).status(204)
	d.want(u, 10, false)
	d.head(u).without("Upload-Length")
	d.append(u, 10, false, data[10:20]).status(d.appended())
	d.wantComplete(d.append(u, 20, true, data[20:]).status(d.appended()), true)
	d.client.head(u).status(200).header("Upload-Length", "30").without("Upload-Defer-Length")
	events(tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostReceive, tusd.EventPostFinish)
}

func mixedDeclared(d *ietfClient) {
	for _, framing := range []string{"X: y", chunked} {
		events := watchEvents(d.env)
		for _, u := range []string{d.createDeferred(), d.begin()} {
			d.patch(u, 0, content(10)).status(204)
			d.patch(u, 10, nil, "Upload-Length: 10", framing).status(204).header("Upload-Offset", "10")
			d.wantOffset(u, 10)
			d.want(u, 10, true)
			d.patch(u, 10, nil).status(204)
		}
		once := []tusd.EventType{tusd.EventPostCreate, tusd.EventPostCreate}
		for range 2 {
			once = append(once, tusd.EventPostReceive, tusd.EventPostFinish)
		}
		events(once...)
	}
}

func mixedLengths(d *ietfClient) {
	u := d.begin("Upload-Length: 10")
	d.patch(u, 0, content(4), "Upload-Length: 11").status(400)
	d.patch(u, 0, content(11)).status(413)
	d.want(u, 0, false) // in tus the upload does not fail
	d.patch(u, 0, content(10), "Upload-Length: 10").status(204)
	d.want(u, 10, true)
}

func mixedFull(d *ietfClient) {
	d.env.countFinishes()
	for i, complete := range []func(u string){
		func(u string) { d.append(u, 10, true, nil).status(204) },
		func(u string) { d.patch(u, 10, nil, "Upload-Length: 10").status(204) },
	} {
		u := d.create(false, content(10), "Upload-Length: 10").status(201).location()
		d.patch(u, 10, nil).status(204)
		d.client.head(u).status(200).header("Upload-Offset", "10").header("Upload-Defer-Length", "1")
		d.client.get(u, version).status(409)
		if n := d.env.finished.Load(); n != int64(i) {
			d.env.Errorf("%d uploads are finished, want %d", n, i)
		}
		complete(u)
		d.want(u, 10, true)
		d.client.get(u).status(200)
		if n := d.env.finished.Load(); n != int64(i+1) {
			d.env.Errorf("%d uploads are finished, want %d", n, i+1)
		}
	}
}

func mixedPreempts(d *ietfClient) {
	u := d.begin()
	other := d.another()
	s := (&ietfClient{other, 9}).openAppend(u, 0, 100, true)
	s.sendAndSee(content(40))
	d.wantOffset(u, 40)
	s.answer().status(503)
	r := d.another().open(u, 40, 60)
	r.sendAndSee(content(100)[40:60])
	d.want(u, 60, false)
	r.answer().status(423)
}

func mixedUnmarked(d *ietfClient) {
	ietf, tus := d.begin(), d.client.create(10)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		d.raw(method, ietf, nil).status(204).header("Upload-Complete", "?0").header("Upload-Limit", "min-size=0").without("Tus-Resumable")
	}
	d.raw(http.MethodHead, tus, nil).status(412).without("Upload-Complete")
	d.raw(http.MethodGet, tus, nil).status(409)
	d.raw(http.MethodDelete, tus, nil).status(412)
	d.raw(http.MethodDelete, ietf, nil).status(204).without("Tus-Resumable")
	d.head(ietf).status(404)
}

func mixedFinal(d *ietfClient) {
	part, plain := d.createPartial(content(10)), d.create(true, content(10)).status(201).location()
	d.post("Upload-Concat: final;"+part+" "+plain).status(400, 403)
	d.want(part, 10, true)
	final := d.postFinal(part + " " + part).status(201).location()
	d.env.eventually("the final is complete", func() bool { return d.head(final).Header.Get("Upload-Complete") == "?1" })
	d.append(final, 20, true, nil).status(403)
	open := d.createDeferred("Upload-Concat: partial")
	pending := d.postFinal(open + " " + part).status(201).location()
	d.head(pending).status(503)
	d.append(open, 0, true, content(5)).status(204)
	d.env.eventually("the final is complete", func() bool { return d.head(pending).Header.Get("Upload-Complete") == "?1" })
	d.env.wantStored(pending, slices.Concat(content(5), content(10)))
}
