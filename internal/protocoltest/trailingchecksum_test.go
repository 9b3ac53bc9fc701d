package protocoltest

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// Tests of checksums in trailers that the header has not announced.

func TestTrailingChecksum(t *testing.T) {
	ways := len(verifyWays)
	if !require.Thorough() { // outside CI one way of two that are alike is left out
		ways = 1
	}
	runVerifiedWays(t, ways, []scenario{
		{"right", "a right trailing checksum of every algorithm is accepted", trailingRight},
		{"wrong", "a wrong trailing checksum is 460, and nothing of the content is kept", trailingWrong},
		{"malformed", "a trailing checksum that is malformed, unknown, repeated, or also in the header is 400, and nothing is kept", trailingMalformed},
		{"creation", "a creation with a wrong trailing checksum is 460, and its content is not kept", trailingCreation},
		{"completing", "an upload is complete only with verified content", trailingCompleting},
		{"partial", "a final is built of verified partials", trailingPartial},
		{"empty", "the checksum of empty content is compared", trailingEmpty},
		{"override", "a trailing checksum is compared if the method is in a header", trailingOverride},
		{"cut", "content that is cut before its end is kept", trailingCut},
		{"too_long", "content that is too long is refused although it matches", trailingTooLong},
		{"digest", "the digest of the upload is right after content was rolled back", trailingDigest},
		{"content_digest", "Content-Digest may be a trailer, announced or not", trailingContentDigest},
		{"draft", "in the IETF draft trailing digests are compared, but not of content with progress reports", trailingDraft},
	})
}

func TestTrailingChecksumAbilities(t *testing.T) {
	run(t, []scenario{
		{"running_along", "for a store that cannot read incomplete uploads, the content is hashed while it is written", trailingHashedWhileWritten},
		{"no_rewinder", "where nothing can be rolled back, a wrong checksum ends the upload", trailingNoRewinder},
		{"rewind_fails", "a wrong checksum ends the upload if the roll back fails", trailingRewindFails},
		{"reread_fails", "content that cannot be read again is rolled back, and the client may repeat it", trailingRereadFails},
		{"not_offered", "a server that offers no checksums ignores the trailer", trailingNotOffered},
		{"http2", "net/http shows no trailer of HTTP/2 if none was announced", trailingHidden},
	})
}

// hint adds a header that net/http needs to show an unannounced trailer: over HTTP/2 some
// trailer must be announced.
func (e *env) hint(more ...string) []string {
	if e.protocol.name == "http2" {
		more = append(more, "Trailer: X-Other")
	}
	return more
}

// patchTrailing sends a chunk with unannounced trailers.
func (e *env) patchTrailing(target string, offset int64, data []byte, trailer ...string) *answer {
	e.Helper()
	return e.patchWithTrailer(target, offset, data, e.hint(), trailer...)
}

// trailingSizes are chunks of one segment and of many.
var trailingSizes = []int{100, 300 << 10}

func trailingRight(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(2 * size))
		for _, h := range hashes {
			if h.tus == "" {
				continue
			}
			u := e.create(int64(2*size) + 1)
			e.patchTrailing(u, 0, data[:size], checksum(h.tus, data[:size])).status(204)
			e.patchTrailing(u, int64(size), data[size:], "X-Other: 1", checksum(h.tus, data[size:])).status(204)
			e.wantOffset(u, int64(2*size))
			e.wantStored(u, data)
			e.patchTrailing(u, int64(2*size), []byte("x"), checksum(h.tus, []byte("x"))).status(204)
			e.wantStored(u, append(data[:2*size:2*size], 'x'))
		}
	}
}

func trailingWrong(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(2 * size))
		for _, h := range hashes {
			if h.tus == "" {
				continue
			}
			u := e.create(int64(2 * size))
			for _, wrong := range []string{checksum(h.tus, data), "Upload-Checksum: " + h.tus + " YQ=="} {
				e.patchTrailing(u, 0, data[:size], wrong).status(460).code("ERR_CHECKSUM_MISMATCH")
				e.wantOffset(u, 0)
				e.wantStored(u, nil)
			}
			e.patch(u, 0, data[:size]).status(204)
			e.patchTrailing(u, int64(size), data[size:], checksum(h.tus, data)).status(460)
			e.wantOffset(u, int64(size))
			e.wantStored(u, data[:size])
			e.patchTrailing(u, int64(size), data[size:], checksum(h.tus, data[size:])).status(204)
			e.wantStored(u, data)
		}
	}
}

func trailingMalformed(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(size))
		right := checksum("sha1", data)
		u := e.create(int64(size))
		refused := func(header []string, trailer ...string) {
			e.Helper()
			e.patchWithTrailer(u, 0, data, e.hint(header...), trailer...).status(400).code("ERR_INVALID_CHECKSUM")
			e.wantOffset(u, 0)
			e.wantStored(u, nil)
		}
		refused(nil, right, right)
		refused(nil, right, checksum("md5", data))
		refused([]string{right}, right)
		refused([]string{right}, checksum("sha1", nil))
		refused([]string{field9530("Content-Digest", "sha-256", data)}, right)
		refused([]string{field9530("Content-Digest", "sha-256", data)}, checksum("sha1", nil))
		refused(nil, "Upload-Checksum: sha3 "+sum64("sha1", data))
		for _, value := range malformed[:4] {
			refused(nil, "Upload-Checksum: "+value)
		}
		e.patchTrailing(u, 0, data, "X-Other: 1").status(204) // no checksum at all is none that is missing
	}
}

// postTrailing sends a creation whose content has unannounced trailers.
func (e *env) postTrailing(data []byte, header []string, trailer ...string) *answer {
	e.Helper()
	s := e.openMethod(http.MethodPost, "/files/", wire.Unknown, append([]string{version, octets}, e.hint(header...)...)...)
	if err := s.Send(data, trailer...); err != nil && !errors.Is(err, wire.ErrEnded) {
		e.Fatalf("POST: %v", err)
	}
	defer e.drop()
	return s.answer()
}

func trailingCreation(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(size))
		for _, length := range []string{"Upload-Length: 400000", "Upload-Defer-Length: 1"} {
			u := e.postTrailing(data, []string{length}, checksum("sha1", nil)).status(460).location()
			e.wantOffset(u, 0)
			e.wantStored(u, nil)
			e.patch(u, 0, data).status(204)
			e.wantStored(u, data)
			u = e.postTrailing(data, []string{length}, checksum("sha1", data)).status(201).location()
			e.wantOffset(u, int64(size))
		}
	}
}

func trailingCompleting(e *env) {
	e.countFinishes()
	for i, size := range trailingSizes {
		data := content(int64(size))
		u := e.create(int64(size))
		e.patchTrailing(u, 0, data, checksum("md5", nil)).status(460)
		if n := e.finished.Load(); n != int64(i) {
			e.Errorf("an upload without its bytes was finished")
		}
		e.get(u).status(409)
		e.wantOffset(u, 0)
		e.patchTrailing(u, 0, data, checksum("md5", data)).status(204)
		if n := e.finished.Load(); n != int64(i+1) {
			e.Errorf("%d uploads were finished", n)
		}
		e.get(u).status(200)
		d := e.createDeferred()
		e.patchWithTrailer(d, 0, data, e.hint("Upload-Length: "+e.head(u).Header.Get("Upload-Length")), checksum("md5", nil)).status(460)
		e.wantOffset(d, 0)
		e.patch(d, 0, data).status(204)
		e.finished.Store(int64(i + 1))
	}
}

func trailingPartial(e *env) {
	data := content(300 << 10)
	p := e.create(int64(len(data)), "Upload-Concat: partial")
	f := e.postFinal(p).status(201).location()
	e.patchTrailing(p, 0, data, checksum("md5", nil)).status(460)
	e.head(f).status(200, 423).without("Upload-Offset")
	e.patchTrailing(p, 0, data, checksum("md5", data)).status(204)
	e.eventually("the final is built", func() bool { return e.get(f).Status == 200 })
	e.wantStored(f, data)
}

func trailingEmpty(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(10)).status(204)
	e.patchTrailing(u, 10, nil, checksum("sha1", []byte("x"))).status(460)
	e.patchTrailing(u, 10, nil, checksum("sha1", nil)).status(204)
	e.wantOffset(u, 10)
	full := e.createFull(content(10))
	e.patchTrailing(full, 10, nil, checksum("sha1", []byte("x"))).status(460)
	e.patchTrailing(full, 10, nil, checksum("sha1", nil)).status(204)
	e.wantStored(full, content(10))
}

func trailingOverride(e *env) {
	data := content(300 << 10)
	u := e.create(int64(len(data)))
	for _, want := range []struct {
		trailer string
		status  int
	}{{checksum("sha1", nil), 460}, {checksum("sha1", data), 204}} {
		s := e.openMethod(http.MethodPost, u, wire.Unknown, tusclient.AppendHeader(0, e.hint("X-HTTP-Method-Override: PATCH")...)...)
		s.Send(data, want.trailer) // if it fails, the answer tells why
		s.answer().status(want.status)
		e.drop()
	}
	e.wantStored(u, data)
}

func trailingCut(e *env) {
	data := content(1 << 20)
	u := e.create(int64(len(data)))
	s := e.another().open(u, 0, wire.Unknown, e.hint()...)
	s.sendAndSee(data[:500<<10])
	_ = s.Abort()
	e.waitIdle()
	at := e.offset(u)
	if at != 500<<10 {
		e.Errorf("%d bytes are kept, want all that were sent", at)
	}
	e.patchTrailing(u, at, data[at:], checksum("sha1", nil)).status(460)
	e.wantOffset(u, at)
	e.patchTrailing(u, at, data[at:], checksum("sha1", data[at:])).status(204)
	e.wantStored(u, data)
}

func trailingTooLong(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(size))
		u := e.create(int64(size) - 1)
		e.patchTrailing(u, 0, data, checksum("sha1", data)).status(413)
		if at := e.offset(u); at == int64(size)-1 {
			e.Errorf("content that is too long completes the upload")
		}
	}
}

func trailingDigest(e *env) {
	e.config.Digest = "sha256"
	data := content(600 << 10)
	half := int64(len(data) / 2)
	u := e.create(int64(len(data)))
	e.patchTrailing(u, 0, data[:half], checksum("sha1", data[:half])).status(204)
	e.patchTrailing(u, half, data[:half], checksum("sha1", nil)).status(460)
	e.wantOffset(u, half)
	e.patchTrailing(u, half, data[half:], checksum("sha1", data[half:])).status(204)
	want := field9530("", "sha-256", data)[2:]
	e.eventually("the digest is known", func() bool { return e.head(u).Header.Get("Repr-Digest") != "" })
	e.head(u).header("Repr-Digest", want)
}

func trailingContentDigest(e *env) {
	for _, size := range trailingSizes {
		data := content(int64(size))
		for _, h := range hashes {
			if h.field == "" {
				continue
			}
			wrong, right := field9530("Content-Digest", h.field, nil), field9530("Content-Digest", h.field, data)
			u := e.create(int64(2 * size))
			for i, header := range [][]string{e.hint(), {"Trailer: Content-Digest"}} {
				at := int64(i * size)
				e.patchWithTrailer(u, at, data, header, wrong).status(460)
				e.patchWithTrailer(u, at, data, header, right, checksum("sha1", nil)).status(460, 400)
				e.wantOffset(u, at)
				e.patchWithTrailer(u, at, data, header, right).status(204)
			}
			e.wantStored(u, append(append([]byte(nil), data...), data...))
		}
		u := e.create(int64(size))
		e.patchTrailing(u, 0, data, "Content-Digest: sha-3=:YQ==:").status(204) // RFC 9530: it is ignored
	}
}

func trailingDraft(e *env) {
	for _, interop := range interopVersions {
		d := e.ietf(interop)
		for _, size := range trailingSizes {
			data := content(int64(size))
			wrong, right := field9530("Content-Digest", "sha-256", nil), field9530("Content-Digest", "sha-256", data)
			u := d.begin()
			send := func(header []string, trailer ...string) *answer {
				s := d.openAppend(u, 0, wire.Unknown, true, header...)
				s.Send(data, trailer...) // if it fails, the answer tells why
				return s.answer()
			}
			ways := [][]string{{"Trailer: Content-Digest"}}
			if interop == 0 { // no version: no reports
				ways = append(ways, e.hint())
			}
			for _, way := range ways {
				d.wantComplete(send(way, wrong).refusedWith(400, "ERR_CHECKSUM_MISMATCH", ""), false)
				d.want(u, 0, false)
			}
			send(ways[len(ways)-1], right).status(d.appended())
			e.wantStored(u, data)
		}
	}
}

// rewinder changes how a store rolls back.
type rewinder struct {
	tusd.Rewinder
	reads bool
	err   error
	calls int
}

func (r *rewinder) ReadsIncomplete() bool { return r.reads }

func (r *rewinder) Rewind(ctx context.Context, upload tusd.Upload, offset int64) error {
	if r.calls++; r.err != nil {
		return r.err
	}
	return r.Rewinder.Rewind(ctx, upload, offset)
}

func trailingHashedWhileWritten(e *env) {
	e.config.StoreComposer.Rewinder = &rewinder{Rewinder: e.config.StoreComposer.Rewinder}
	trailingWrong(e)
	trailingRight(e)
}

// wantFailed checks that an upload has ended after a wrong checksum.
func (e *env) wantFailed(u string) {
	e.Helper()
	e.head(u).status(410)
	e.patch(u, 0, content(1)).status(410)
	e.get(u).status(410)
}

func trailingNoRewinder(e *env) {
	e.config.StoreComposer.Rewinder = nil
	data := content(300 << 10)
	u := e.create(int64(len(data)))
	e.patchTrailing(u, 0, data[:200<<10], checksum("sha1", data[:200<<10])).status(204)
	e.patchTrailing(u, 200<<10, data[200<<10:], checksum("sha1", nil)).status(460)
	e.wantFailed(u)
}

func trailingRewindFails(e *env) {
	r := &rewinder{Rewinder: e.config.StoreComposer.Rewinder, reads: true, err: errors.New("no")}
	e.config.StoreComposer.Rewinder = r
	data := content(300 << 10)
	u := e.create(int64(len(data)))
	e.patchTrailing(u, 0, data, checksum("sha1", nil)).status(460)
	e.wantFailed(u)
	if n := e.warnings.count("cannot be rolled back"); n != 1 || r.calls == 0 {
		e.Errorf("%d warnings after %d attempts, want one", n, r.calls)
	}
}

func trailingRereadFails(e *env) {
	composer, failing := e.config.StoreComposer, new(atomic.Bool)
	failing.Store(true)
	composer.Core = unreadableStore{DataStore: composer.Core, failing: failing}
	composer.Rewinder = unwrappingRewinder{composer.Rewinder}
	data := content(300 << 10)
	u := e.create(int64(len(data)))
	e.patchTrailing(u, 0, data, checksum("sha1", data)).status(500).header("Retry-After", "1")
	e.wantOffset(u, 0)
	e.patch(u, 0, data).status(204)
}

func trailingNotOffered(e *env) {
	e.config.DisableChecksum = true
	u := e.create(100)
	e.patchTrailing(u, 0, content(100), checksum("sha1", nil)).status(204)
	e.wantOffset(u, 100)
}

// trailingHidden fails when net/http begins to show such trailers: then they count.
func trailingHidden(e *env) {
	want := map[string]int{"http1": 460, "http2": 204}[e.protocol.name]
	u := e.create(100)
	e.patchWithTrailer(u, 0, content(100), nil, checksum("sha1", nil)).status(want)
}
