package protocoltest

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
)

func TestDigestBehind(t *testing.T) {
	run(t, []scenario{
		{"lost_state", "after a crash has lost a state, the bytes are read in the background", everyAlgorithm(digestLostState)},
		{"lost_sum", "after a crash has lost the digest of a complete upload, a request for it lets its bytes be read in the background", everyAlgorithm(digestLostSum)},
		{"old_upload", "an upload that was created without a digest has none", digestOldUpload},
		{"lost_bytes", "a state that covers bytes which a crash has lost is not used", everyAlgorithm(digestLostBytes)},
		{"lost_and_declared", "a state that covers more bytes than the length of the upload is not used", everyAlgorithm(digestLostAndDeclared)},
		{"broken_state", "if a state cannot be parsed the digest starts again", everyAlgorithm(digestBrokenState)},
		{"unreadable", "an upload that cannot be read has no digest, and is complete", digestUnreadable},
		{"told_once", "a digest that cannot be brought up to date is logged once, however many requests need it", digestToldOnce},
		{"whole_only", "on a store that reads only complete uploads the digest is computed after the last byte, without warnings", digestOfWholeUploads},
		{"failed", "an upload that has failed has no digest", digestOfFailedUpload},
	})
}

func digestLostState(e *env, algorithm string) {
	data := content(1000)
	u := e.create(int64(len(data)))
	e.patch(u, 0, data[:400]).status(204)
	early := e.digestsOf(u)[0]
	e.patch(u, 400, data[400:700]).status(204)
	e.changeDigests(u, func(d *tusd.Digest) { *d = early })
	e.patch(u, 700, data[700:800]).status(204)
	e.eventually("what was missing has been read", func() bool { return e.digestsOf(u)[0].Offset == 800 })
	e.changeDigests(u, resetDigest)
	e.patch(u, 800, data[800:]).status(204)
	e.eventuallyDigest(u, algorithm, data)

	v := e.ietf(9).create(false, data[:400]).status(201).location()
	e.changeDigests(v, resetDigest)
	e.ietf(9).append(v, 400, true, data[400:]).status(204)
	e.eventuallyDigest(v, algorithm, data)
}

func digestLostSum(e *env, algorithm string) {
	data := content(1000)
	u := e.createFull(data)
	e.changeDigests(u, resetDigest)
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

// digestLostBytes is a crash after which the disk has the record, but not all data.
func digestLostBytes(e *env, algorithm string) {
	data := content(1000)
	other, u := e.create(1000), e.create(1000)
	e.patch(other, 0, bytes.Repeat([]byte("x"), 600)).status(204)
	ahead := e.digestsOf(other)[0]
	e.patch(u, 0, data[:400]).status(204)
	e.changeDigests(u, func(d *tusd.Digest) { *d = ahead })
	e.patch(u, 400, data[400:800]).status(204)
	e.patch(u, 800, data[800:]).status(204)
	e.eventuallyDigest(u, algorithm, data)
}

func digestBrokenState(e *env, algorithm string) {
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.changeDigests(u, func(d *tusd.Digest) { d.State = []byte("broken") })
	e.patch(u, 400, data[400:]).status(204)
	e.wantOffset(u, 1000)
	e.eventuallyDigest(u, algorithm, data)
	e.wantStored(u, data)
}

// digestLostAndDeclared is a crash that lost bytes of an upload whose client then declares
// the rest as its length.
func digestLostAndDeclared(e *env, algorithm string) {
	ahead, u := e.create(1000), e.createDeferred()
	e.patch(ahead, 0, bytes.Repeat([]byte("x"), 600)).status(204)
	covers := e.digestsOf(ahead)[0]
	e.patch(u, 0, content(400)).status(204)
	e.changeDigests(u, func(d *tusd.Digest) { *d = covers })
	e.patch(u, 400, nil, "Upload-Length: 400").status(204)
	e.eventuallyDigest(u, algorithm, content(400))
}

func (w *warnings) ofDigests() int { return w.count("digest") }

func digestToldOnce(e *env) {
	failing, reads := e.makeUnreadable(nil)
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.changeDigests(u, resetDigest)
	failing.Store(true)
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
	failing.Store(false)
	e.eventuallyDigest(u, "sha256", data)
}

func digestOfWholeUploads(e *env) {
	failing, reads := e.makeUnreadable(tusd.ErrIncompleteUpload)
	failing.Store(true)
	data := content(1000)
	for range 2 {
		u := e.create(1000)
		e.patch(u, 0, data[:400]).status(204)
		e.changeDigests(u, resetDigest)
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
	failing, reads := e.makeUnreadable(nil)
	u := e.createFull(content(1000))
	e.changeDigests(u, resetDigest)
	e.fail(u)
	failing.Store(true)
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

func digestUnreadable(e *env) {
	e.config.DisableIETF, e.config.Digest = false, "sha256"
	failing := new(atomic.Bool)
	e.config.StoreComposer.Core = unreadableStore{DataStore: e.config.StoreComposer.Core, failing: failing}
	e.config.StoreComposer.ContentServer = nil
	data := content(1000)
	u := e.create(1000)
	e.patch(u, 0, data[:400]).status(204)
	e.changeDigests(u, resetDigest)
	failing.Store(true)
	e.patch(u, 400, data[400:]).status(204)
	e.head(u).status(200).header("Upload-Offset", "1000").without("Repr-Digest")
	e.eventually("the failure is logged", func() bool {
		return slices.ContainsFunc(e.warnings.all(), func(line string) bool { return strings.Contains(line, "digest") })
	})
	failing.Store(false)
	e.eventuallyDigest(u, "sha256", data)
}
