package protocoltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
)

// keepers are the algorithms that can be kept for every upload.
var keepers = []string{"sha256", "sha512", "sha1", "md5", "crc32c"}

// kept runs a test with each of them, one after another on one store.
func kept(test func(e *env, algorithm string)) func(*env) {
	return func(e *env) {
		e.config.DisableIETF = false
		for i, algorithm := range keepers {
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
		{"one_request", "an upload that came in one request has its digest at once", kept(digestOneRequest)},
		{"many_chunks", "so has one that came in many", kept(digestManyChunks)},
		{"cut", "so has one that was cut and resumed", kept(digestCut)},
		{"verified", "so has one whose chunks were verified, some not", kept(digestVerified)},
		{"deferred", "so has one of deferred length", kept(digestDeferred)},
		{"mixed", "so has one that came in both dialects", kept(digestMixed)},
		{"empty", "so has an empty one", kept(digestEmpty)},
		{"final", "so has a final, and its partials", kept(digestFinal)},
		{"restart", "so has one that was continued after a restart", kept(digestRestart)},
		{"events", "it is given to the callback and the event of the end", kept(digestEvents)},
		{"incomplete", "there is none before the end", kept(digestIncomplete)},
	})
}

func TestDigestBehind(t *testing.T) {
	run(t, []scenario{
		{"lost_state", "a state that a crash has lost is read again in the background", kept(digestLostState)},
		{"lost_sum", "so is that of a complete upload, when a request asks for it", kept(digestLostSum)},
		{"old_upload", "an upload that was begun without has none", digestOldUpload},
		{"lost_bytes", "a state that covers bytes which a crash has lost is forgotten", kept(digestLostBytes)},
		{"lost_and_declared", "a state that covers more bytes than the upload will have is ignored", kept(digestLostAndDeclared)},
		{"broken_state", "a state that cannot be read is no obstacle: the digest begins again", kept(digestBrokenState)},
		{"unreadable", "what cannot be read back has no digest, and is complete all the same", digestUnreadable},
		{"told_once", "that a digest cannot be brought up to date is told once, however many requests meet it", digestToldOnce},
		{"whole_only", "on a store that reads only complete uploads the digest waits for the last byte, in silence", digestOfWholeUploads},
		{"failed", "an upload that has failed has no digest", digestOfFailedUpload},
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

// reprDigest is the value that Repr-Digest has for data.
func reprDigest(algorithm string, data []byte) string {
	for _, h := range hashes {
		if h.tus == algorithm || h.field == algorithm {
			return h.field + "=:" + sum64(h.field, data) + ":"
		}
	}
	panic("no hash " + algorithm)
}

// wantDigest checks what every way to ask for a complete upload tells.
func (e *env) wantDigest(target, algorithm string, data []byte) {
	e.Helper()
	want := reprDigest(algorithm, data)
	e.head(target).status(200).header("Repr-Digest", want)
	e.get(target).status(200).header("Repr-Digest", want)
	e.ietf(9).head(target).status(204).header("Repr-Digest", want)
	e.raw(http.MethodHead, target, nil).status(200).header("Repr-Digest", want)
	e.wantStored(target, data)
}

// eventuallyDigest waits for what is computed in the background.
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

// tamper changes the digests in a record behind the handler's back, as a crash
// or an older server may have left them.
func (e *env) tamper(target string, change func(*tusd.Digest)) {
	e.Helper()
	e.changeRecord(target, func(info *tusd.FileInfo) {
		for i := range info.Digests {
			change(&info.Digests[i])
		}
	})
}

func (e *env) changeRecord(target string, change func(*tusd.FileInfo)) {
	e.Helper()
	e.waitIdle()
	lease, err := (&tusd.LocalLocker{}).Lock(e.Context(), idOf(target), tusd.LockTry)
	if err != nil {
		e.Fatal(err)
	}
	defer func() { _ = lease.Unlock(context.Background()) }()
	upload, err := e.config.StoreComposer.Core.GetUpload(e.Context(), lease, idOf(target))
	if err != nil {
		e.Fatal(err)
	}
	err = upload.UpdateInfo(e.Context(), func(info *tusd.FileInfo) error {
		change(info)
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
}

// lose changes the record to what it was when the upload was made.
func lose(d *tusd.Digest) { *d = tusd.Digest{Algorithm: d.Algorithm, Want: d.Want} }

func digestLostState(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data[:400]).status(204)
	early := e.digestsOf(u)[0]
	e.patch(u, 400, data[400:700]).status(204)
	e.tamper(u, func(d *tusd.Digest) { *d = early })
	e.patch(u, 700, data[700:800]).status(204)
	e.eventually("what was missing has been read", func() bool { return e.digestsOf(u)[0].Offset == 800 })
	e.tamper(u, lose)
	e.patch(u, 800, data[800:]).status(204)
	e.eventuallyDigest(u, algorithm, data)

	v := e.ietf(9).create(false, data[:400]).status(201).location()
	e.tamper(v, lose)
	e.ietf(9).append(v, 400, true, data[400:]).status(204)
	e.eventuallyDigest(v, algorithm, data)
}

func digestLostSum(e *env, algorithm string) {
	data := content(1000)
	u := e.createFull(data)
	e.tamper(u, lose)
	e.restart()
	e.eventuallyDigest(u, algorithm, data)
}

func digestOldUpload(e *env) {
	e.config.DisableIETF = false
	data := content(1000)
	u, full := e.create(1000), e.createFull(data)
	e.patch(u, 0, data[:400]).status(204)
	e.restart()
	e.config.Digest = "sha256"
	e.patch(u, 400, data[400:]).status(204)
	for _, target := range []string{u, full} {
		e.head(target).status(200).without("Repr-Digest")
		e.get(target).status(200).without("Repr-Digest")
	}
}

// digestLostBytes is a crash on a disk that kept the record and lost data.
func digestLostBytes(e *env, algorithm string) {
	data := content(1000)
	other, u := e.create(1000), e.create(1000)
	e.patch(other, 0, bytes.Repeat([]byte("x"), 600)).status(204)
	ahead := e.digestsOf(other)[0]
	e.patch(u, 0, data[:400]).status(204)
	e.tamper(u, func(d *tusd.Digest) { *d = ahead })
	e.patch(u, 400, data[400:800]).status(204)
	e.patch(u, 800, data[800:]).status(204)
	e.eventuallyDigest(u, algorithm, data)
}

func digestBrokenState(e *env, algorithm string) {
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.tamper(u, func(d *tusd.Digest) { d.State = []byte("broken") })
	e.patch(u, 400, data[400:]).status(204)
	e.wantOffset(u, 1000)
	e.eventuallyDigest(u, algorithm, data)
	e.wantStored(u, data)
}

// digestLostAndDeclared is a crash that lost bytes of an upload whose client
// then says that what is left is all.
func digestLostAndDeclared(e *env, algorithm string) {
	ahead, u := e.create(1000), e.createDeferred()
	e.patch(ahead, 0, bytes.Repeat([]byte("x"), 600)).status(204)
	covers := e.digestsOf(ahead)[0]
	e.patch(u, 0, content(400)).status(204)
	e.tamper(u, func(d *tusd.Digest) { *d = covers })
	e.patch(u, 400, nil, "Upload-Length: 400").status(204)
	e.eventuallyDigest(u, algorithm, content(400))
}

// blindStore cannot read back what it has stored as long as blind is set.
type blindStore struct {
	tusd.DataStore
	blind *atomic.Bool
	reads *atomic.Int64 // attempts; nil: they are not counted
	cause error         // nil: any
}

func (s blindStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.DataStore.GetUpload(ctx, lease, id)
	return blindUpload{upload, s}, err
}

type blindUpload struct {
	tusd.Upload
	store blindStore
}

func (u blindUpload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	if u.store.reads != nil {
		u.store.reads.Add(1)
	}
	switch info, err := u.GetInfo(ctx); {
	case !u.store.blind.Load() || err != nil:
	case u.store.cause == nil:
		return nil, errors.New("the bytes cannot be read")
	case !info.Full():
		return nil, u.store.cause
	}
	return u.Upload.GetReader(ctx)
}

// blindAs makes the store of e one that cannot read, and counts the attempts.
func (e *env) blindAs(cause error) (blind *atomic.Bool, reads *atomic.Int64) {
	blind, reads = new(atomic.Bool), new(atomic.Int64)
	e.config.DisableIETF, e.config.Digest = false, "sha256"
	e.config.StoreComposer.Core = blindStore{e.config.StoreComposer.Core, blind, reads, cause}
	e.config.StoreComposer.ContentServer = nil
	return blind, reads
}

func (w *warnings) ofDigests() int { return w.count("digest") }

func digestToldOnce(e *env) {
	blind, reads := e.blindAs(nil)
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.tamper(u, lose)
	blind.Store(true)
	e.patch(u, 400, data[400:500]).status(204)
	e.eventually("another attempt is made", func() bool {
		e.head(u).status(200)
		e.ietf(9).head(u).status(204)
		return reads.Load() >= 3
	})
	e.patch(u, 500, data[500:]).status(204)
	e.eventually("another attempt is made", func() bool {
		e.head(u).status(200)
		return reads.Load() >= 4
	})
	e.waitIdle()
	if n := e.warnings.ofDigests(); n != 1 {
		e.Errorf("%d warnings of %d attempts, want 1: %q", n, reads.Load(), e.warnings.all())
	}
	blind.Store(false)
	e.eventuallyDigest(u, "sha256", data)
}

func digestOfWholeUploads(e *env) {
	blind, reads := e.blindAs(tusd.ErrIncompleteUpload)
	blind.Store(true)
	data := content(1000)
	for range 2 {
		u := e.create(1000)
		e.patch(u, 0, data[:400]).status(204)
		e.tamper(u, lose)
		e.patch(u, 400, data[400:500]).status(204)
		for range 5 {
			e.head(u).status(200)
			e.ietf(9).head(u).status(204)
		}
		e.eventually("it is tried once", func() bool { return reads.Load() == 1 })
		e.patch(u, 500, data[500:]).status(204)
		e.eventuallyDigest(u, "sha256", data)
		reads.Store(1)
	}
	if n := e.warnings.ofDigests(); n != 0 {
		e.Errorf("warnings: %q", e.warnings.all())
	}
}

func digestOfFailedUpload(e *env) {
	blind, reads := e.blindAs(nil)
	u := e.createFull(content(1000))
	e.tamper(u, lose)
	e.fail(u)
	blind.Store(true)
	reads.Store(0)
	for range 3 {
		if status := e.head(u).Status; status < 400 {
			e.Errorf("status %d", status)
		}
	}
	e.stop()
	if reads.Load() != 0 || e.warnings.ofDigests() != 0 {
		e.Errorf("%d attempts, warnings %q", reads.Load(), e.warnings.all())
	}
}

// fail has an upload failed behind the handler's back.
func (e *env) fail(target string) {
	e.Helper()
	e.changeRecord(target, func(info *tusd.FileInfo) {
		info.State, info.Failure = tusd.StateFailed, &tusd.Failure{Code: tusd.ErrUploadFailed.Code, StatusCode: 410}
	})
}

func digestUnreadable(e *env) {
	e.config.DisableIETF, e.config.Digest = false, "sha256"
	blind := new(atomic.Bool)
	e.config.StoreComposer.Core = blindStore{DataStore: e.config.StoreComposer.Core, blind: blind}
	e.config.StoreComposer.ContentServer = nil
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.tamper(u, lose)
	blind.Store(true)
	e.patch(u, 400, data[400:]).status(204)
	e.head(u).status(200).header("Upload-Offset", "1000").without("Repr-Digest")
	e.eventually("the failure has been told", func() bool {
		return slices.ContainsFunc(e.warnings.all(), func(line string) bool { return strings.Contains(line, "digest") })
	})
	blind.Store(false)
	e.eventuallyDigest(u, "sha256", data)
}

func TestReprDigest(t *testing.T) {
	runIETF(t, []scenario{
		{"R41_good", "an upload that matches its Repr-Digest is complete, and says so", everyVersion(reprDigestGood)},
		{"R41_bad", "one that does not has failed, for good", everyVersion(reprDigestBad)},
		{"R41_resumed", "it is compared at the end, over PATCHes, cuts and restarts", newest(reprDigestResumed)},
		{"R41_lost_state", "a state that a crash has lost is read again before it is compared", newest(reprDigestLostState)},
		{"R41_unreadable", "what cannot be compared is not complete: a transient error", newest(reprDigestUnreadable)},
		{"R41_several", "every algorithm that is known is compared", newest(reprDigestSeveral)},
		{"R41_append", "Repr-Digest of the completing part counts, too", newest(reprDigestAppend)},
		{"R42_wanted", "Want-Repr-Digest is answered with the completing answer", newest(reprDigestWanted)},
		{"beside_config", "the client's digest stands beside the server's", newest(reprDigestBeside)},
	})
}

func reprDigestGood(d *ietfClient) {
	data := content(1000)
	for _, h := range hashes {
		if h.field == "" {
			continue
		}
		line := field9530("Repr-Digest", h.field, data)
		a := d.create(true, data, line).status(201).header("Repr-Digest", reprDigest(h.field, data))
		d.want(a.location(), 1000, true)
		u := d.create(false, data[:400], line).status(201).without("Repr-Digest").location()
		d.wantComplete(d.append(u, 400, true, data[400:]).status(d.appended()).header("Repr-Digest", reprDigest(h.field, data)), true)
	}
}

func reprDigestBad(d *ietfClient) {
	d.env.countFinishes()
	data := content(1000)
	bad := field9530("Repr-Digest", "sha-256", data[1:])
	d.env.finished.Store(0)
	a := d.create(true, data, bad).refusedWith(422, "ERR_DIGEST_MISMATCH", "").without("Repr-Digest")
	d.wantComplete(a, true)
	u := d.create(false, data[:400], bad).status(201).location()
	a = d.append(u, 400, true, data[400:]).refusedWith(422, "ERR_DIGEST_MISMATCH", "")
	d.wantComplete(a, true)
	for _, restarted := range []bool{false, true} {
		if restarted {
			d.env.restart()
		}
		d.head(u).status(422)
		d.raw(http.MethodGet, u, nil).status(422).without("Repr-Digest")
		d.append(u, 1000, true, nil).refusedWith(422, "ERR_DIGEST_MISMATCH", "")
		d.append(u, 1000, false, data).status(422)
	}
	if n := d.env.finished.Load(); n != 0 {
		d.env.Errorf("pre-finish was asked %d times for uploads that do not match", n)
	}
	d.cancel(u).status(204)
}

func reprDigestResumed(d *ietfClient) {
	data := content(1000)
	for line, status := range map[string]int{field9530("Repr-Digest", "sha-512", data): 204, field9530("Repr-Digest", "sha-512", data[:999]): 422} {
		u := d.create(false, data[:200], line).status(201).location()
		s := d.openAppend(u, 200, 800, true)
		s.sendAndSee(data[200:400])
		s.cut()
		d.append(u, 400, false, data[400:600], field9530("Repr-Digest", "sha-512", nil)).status(204) // a PATCH does not change it
		d.env.restart()
		d.env.patch(u, 600, data[600:800]).status(204)
		d.append(u, 800, true, data[800:]).status(status)
	}
}

func reprDigestLostState(d *ietfClient) {
	data := content(1000)
	for line, status := range map[string]int{field9530("Repr-Digest", "md5", data): 204, field9530("Repr-Digest", "md5", nil): 422} {
		u := d.create(false, data[:400], line).status(201).location()
		d.env.tamper(u, lose)
		d.append(u, 400, true, data[400:]).status(status)
	}
}

func reprDigestUnreadable(d *ietfClient) {
	unreadable(d, true)
	d.env.restart()
	unreadable(d, false)
}

// unreadable gets an upload to its end whose bytes cannot be read back, and
// whose digest is right or not.
func unreadable(d *ietfClient, right bool) {
	e, blind, data := d.env, new(atomic.Bool), content(1000)
	said := data
	if !right {
		said = nil
	}
	e.config.StoreComposer.Core = blindStore{DataStore: e.config.StoreComposer.Core, blind: blind}
	composer := e.config.StoreComposer
	composer.LengthDeferrer = seeingDeferrer{composer.LengthDeferrer}
	u := d.create(false, data[:400], field9530("Repr-Digest", "sha-256", said)).status(201).location()
	e.tamper(u, lose)
	blind.Store(true)
	d.append(u, 400, true, data[400:]).refusedWith(503, "ERR_FINISH_FAILED", "")
	d.head(u).status(503)
	e.restart() // the server forgets that it failed, the record does not
	e.config.StoreComposer.Core = blindStore{DataStore: e.config.StoreComposer.Core, blind: blind}
	e.config.StoreComposer.LengthDeferrer = seeingDeferrer{e.config.StoreComposer.LengthDeferrer}
	d.head(u).status(503)
	blind.Store(false)
	e.eventually("it is compared after all", func() bool { return d.head(u).Status != 503 })
	if right {
		d.head(u).status(204).header("Repr-Digest", reprDigest("sha-256", data))
	} else {
		d.head(u).status(422).without("Repr-Digest")
	}
}

// seeingDeferrer declares lengths of blind uploads.
type seeingDeferrer struct{ tusd.LengthDeferrer }

func (s seeingDeferrer) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	if blind, ok := upload.(blindUpload); ok {
		upload = blind.Upload
	}
	return s.LengthDeferrer.DeclareLength(ctx, upload, length)
}

func reprDigestSeveral(d *ietfClient) {
	data := content(1000)
	good := "Repr-Digest: " + reprDigest("sha-256", data) + ", "
	d.create(true, data, good+reprDigest("sha-512", data)).status(201)
	d.create(true, data, good+reprDigest("sha-512", nil)).status(422)
}

func reprDigestAppend(d *ietfClient) {
	data := content(1000)
	for said, status := range map[*[]byte]int{&data: 204, new([]byte): 422} {
		u := d.create(false, data[:400]).status(201).location()
		d.append(u, 400, false, data[400:500], field9530("Repr-Digest", "sha-256", nil)).status(204) // not about the whole
		d.append(u, 500, true, data[500:], field9530("Repr-Digest", "sha-256", *said)).status(status)
		if status == 422 {
			d.head(u).status(422)
		}
	}
}

func reprDigestWanted(d *ietfClient) {
	data := content(1000)
	for line, name := range map[string]string{
		"sha-256=10": "sha-256", "sha-256=1, sha-512=10": "sha-512", "sha-256=10, sha-512=1": "sha-256", "md5=3": "md5", "sha=1;x=y": "sha",
		"sha-256=0": "none", "unknown=10": "none", "sha-256": "none", "sha-256=11x": "none",
	} {
		u := d.create(false, data[:400], "Want-Repr-Digest: "+line).status(201).without("Repr-Digest").location()
		a := d.append(u, 400, true, data[400:]).status(204)
		switch name {
		case "none":
			a.without("Repr-Digest")
		default:
			a.header("Repr-Digest", reprDigest(name, data))
		}
	}
	d.create(true, data, "Want-Repr-Digest: sha-256=10").status(201).header("Repr-Digest", reprDigest("sha-256", data))
}

func reprDigestBeside(d *ietfClient) {
	d.env.config.Digest = "md5"
	data := content(1000)
	both := reprDigest("md5", data) + ", " + reprDigest("sha-256", data)
	d.create(true, data, field9530("Repr-Digest", "sha-256", data)).status(201).header("Repr-Digest", both)
	d.create(true, data, "Want-Repr-Digest: sha-256=1").status(201).header("Repr-Digest", both)
	d.create(true, data, field9530("Repr-Digest", "md5", data)).status(201).header("Repr-Digest", reprDigest("md5", data))
	d.create(true, data, field9530("Repr-Digest", "md5", nil)).status(422)
	d.create(true, data, field9530("Repr-Digest", "sha-256", nil)).status(422)
}
