package protocoltest

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/tus/tusd"
)

// digestAlgorithms are the values of Config.Digest.
var digestAlgorithms = []string{"sha256", "sha512", "sha1", "md5", "crc32c"}

// everyAlgorithm runs a test with each of them, one after another, over one store.
func everyAlgorithm(test func(e *env, algorithm string)) func(*env) {
	return func(e *env) {
		e.config.DisableIETF = false
		for i, algorithm := range digestAlgorithms {
			if i > 0 {
				e.restart()
			}
			e.config.Digest = algorithm
			test(e, algorithm)
		}
	}
}

func TestDigestKept(t *testing.T) {
	run(t, []scenario{
		{"one_request", "an upload that came in one request has its digest at once", everyAlgorithm(digestOneRequest)},
		{"many_chunks", "an upload that came in many requests has its digest at once", everyAlgorithm(digestManyChunks)},
		{"cut", "an upload that was cut and resumed has its digest at once", everyAlgorithm(digestCut)},
		{"verified", "an upload of which some chunks were verified has its digest at once", everyAlgorithm(digestVerified)},
		{"deferred", "an upload of deferred length has its digest at once", everyAlgorithm(digestDeferred)},
		{"mixed", "an upload that came in both dialects has its digest at once", everyAlgorithm(digestMixed)},
		{"empty", "an empty upload has its digest at once", everyAlgorithm(digestEmpty)},
		{"final", "partials have their digest at once, and a final after it is built", everyAlgorithm(digestFinal)},
		{"restart", "an upload that was continued after a restart has its digest at once", everyAlgorithm(digestRestart)},
		{"events", "the digest is in the callback and the event of the completion", everyAlgorithm(digestEvents)},
		{"incomplete", "an incomplete upload has no digest", everyAlgorithm(digestIncomplete)},
	})
}

func TestDigestConfig(t *testing.T) {
	for algorithm, valid := range map[string]bool{
		"": true, "sha256": true, "sha512": true, "sha1": true, "md5": true, "crc32c": true,
		"crc32": false, "sha-256": false, "adler": false, "SHA256": false, "sha3": false,
	} {
		config := tusd.Config{StoreComposer: memoryStore.open(t)(), Digest: algorithm}
		handler, err := tusd.NewHandler(config)
		if (err == nil) != valid {
			t.Errorf("Digest %q: %v, want valid: %v", algorithm, err, valid)
		}
		if err == nil {
			if err := handler.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// wantDigest checks the digest in the answers to all requests for a complete upload.
func (e *env) wantDigest(target, algorithm string, data []byte) {
	e.Helper()
	want := reprDigest(algorithm, data)
	e.head(target).status(200).header("Repr-Digest", want)
	e.get(target).status(200).header("Repr-Digest", want)
	e.ietf(9).head(target).status(204).header("Repr-Digest", want)
	e.raw(http.MethodHead, target, nil).status(200).header("Repr-Digest", want)
	e.wantStored(target, data)
}

// eventuallyDigest waits until the digest is computed in the background, and checks it.
func (e *env) eventuallyDigest(target, algorithm string, data []byte) {
	e.Helper()
	e.eventually("the digest has been brought up to date", func() bool { return e.head(target).Header.Get("Repr-Digest") != "" })
	e.wantDigest(target, algorithm, data)
}

func digestOneRequest(e *env, algorithm string) {
	data := content(100_000)
	e.wantDigest(e.createFull(data), algorithm, data)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data, chunked).status(204)
	e.wantDigest(u, algorithm, data)
	for _, framing := range []string{"X: y", chunked} {
		a := e.ietf(9).create(true, data, framing).status(201).header("Repr-Digest", reprDigest(algorithm, data))
		e.wantDigest(a.location(), algorithm, data)
	}
}

func digestManyChunks(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	for at := int64(0); at < 1000; at += 100 {
		e.patch(u, at, data[at:at+100]).status(204)
	}
	e.wantDigest(u, algorithm, data)
}

func digestCut(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	for at := int64(0); at < 900; at += 300 {
		s := e.another().open(u, at, 1000-at)
		s.sendAndSee(data[at : at+300])
		if at == 300 {
			e.wantOffset(u, at+300) // a newer request ends it
			s.answer().status(423)
			continue
		}
		_ = s.Abort()
		e.waitIdle()
		e.wantOffset(u, at+300)
	}
	e.patch(u, 900, data[900:]).status(204)
	e.wantDigest(u, algorithm, data)
}

func digestVerified(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data[:300], checksum("sha1", data[:300])).status(204)
	e.patch(u, 300, data[:300], checksum("sha1", data[300:600])).status(460)
	e.patch(u, 300, data[300:600]).status(204)
	e.patch(u, 600, data[500:900], checksum("crc32", nil)).status(460)
	e.patch(u, 600, data[600:], checksum("md5", data[600:])).status(204)
	e.wantDigest(u, algorithm, data)
}

func digestDeferred(e *env, algorithm string) {
	data := content(1000)
	u := e.createDeferred()
	e.patch(u, 0, data[:500]).status(204)
	e.patch(u, 500, data[500:], "Upload-Length: 1000").status(204)
	e.wantDigest(u, algorithm, data)
	u = e.createDeferred()
	e.patch(u, 0, data).status(204)
	e.patch(u, 1000, nil, "Upload-Length: 1000").status(204)
	e.wantDigest(u, algorithm, data)
}

func digestMixed(e *env, algorithm string) {
	data := content(1000)
	d := e.ietf(9)
	u := d.create(false, data[:300]).status(201).without("Repr-Digest").location()
	e.patch(u, 300, data[300:600]).status(204)
	d.append(u, 600, false, data[600:900]).status(204).without("Repr-Digest")
	d.append(u, 900, true, data[900:]).status(204).header("Repr-Digest", reprDigest(algorithm, data))
	e.wantDigest(u, algorithm, data)
	u = d.create(false, data).status(201).location()
	d.append(u, 1000, true, nil).status(204).header("Repr-Digest", reprDigest(algorithm, data))
	e.wantDigest(u, algorithm, data)
}

func digestEmpty(e *env, algorithm string) {
	e.wantDigest(e.create(0), algorithm, nil)
	e.wantDigest(e.ietf(9).create(true, nil).status(201).location(), algorithm, nil)
}

func digestFinal(e *env, algorithm string) {
	one, two := content(1000), content(500)
	first, second := e.createPartial(one), e.createPartial(two)
	e.wantDigest(first, algorithm, one)
	final := e.postFinal(first + " " + second + " " + first).status(201).location()
	e.eventuallyDigest(final, algorithm, slices.Concat(one, two, one))
}

func digestRestart(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data[:400]).status(204)
	e.restart()
	e.patch(u, 400, data[400:700]).status(204)
	e.restart()
	e.patch(u, 700, data[700:]).status(204)
	e.wantDigest(u, algorithm, data)
	e.restart()
	e.wantDigest(u, algorithm, data)
}

func digestEvents(e *env, algorithm string) {
	data := content(1000)
	var asked []tusd.Digest
	e.config.Callbacks.PreFinish = func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
		asked = event.Upload.Digests
		return tusd.HTTPResponse{}, nil
	}
	defer func() { e.config.Callbacks.PreFinish = nil }()
	e.start()
	events := e.handler.Subscribe(100)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data[:400]).status(204)
	e.patch(u, 400, data[400:]).status(204)
	e.waitIdle()
	want := reprDigest(algorithm, data)
	if len(asked) != 1 || asked[0].Value() != want {
		e.Errorf("pre-finish was given %+v, want %s", asked, want)
	}
	for len(events.C) > 0 {
		event := <-events.C
		if d := event.Upload.Digests; event.Type == tusd.EventPostFinish && (len(d) != 1 || d[0].Value() != want) {
			e.Errorf("post-finish was given %+v, want %s", d, want)
		}
	}
}

func digestIncomplete(e *env, _ string) {
	d := e.ietf(9)
	for _, u := range []string{e.create(1000), e.createDeferred(), d.begin()} {
		e.head(u).without("Repr-Digest")
		e.patch(u, 0, content(500)).status(204).without("Repr-Digest")
		e.head(u).without("Repr-Digest")
		d.head(u).without("Repr-Digest")
	}
}
