package protocoltest

import (
	"net/http"
	"testing"
)

func TestContentDigest(t *testing.T) {
	runVerified(t, []scenario{
		{"R40_append", "a part that does not match its Content-Digest is refused and not stored", contentDigestAppend},
		{"R40_changes_nothing", "the length and the Repr-Digest of such a part do not count", contentDigestChangesNothing},
		{"R40_creation", "the content of a creation that does not match its Content-Digest is refused and not stored", contentDigestCreation},
		{"R40_several", "every digest that is known must match", contentDigestSeveral},
		{"R40_unknown", "a digest that is unknown or does not parse is ignored", contentDigestUnknown},
		{"R40_tus", "digests of RFC 9530 count in the tus dialect, too", contentDigestTus},
		{"R40_quiet", "there is no progress report before the content is verified", contentDigestCut},
	})
}

func contentDigestAppend(e *env) {
	for _, interop := range interopVersions {
		d := e.ietf(interop)
		for _, h := range hashes {
			if h.field == "" {
				continue
			}
			u := d.create(false, content(10)).status(201).location()
			for _, framing := range []string{"X: y", chunked} {
				a := d.append(u, 10, true, content(90), field9530("Content-Digest", h.field, content(91)), framing)
				d.wantComplete(a.refusedWith(400, "ERR_CHECKSUM_MISMATCH", ""), false).header("Upload-Offset", "10")
				d.want(u, 10, false)
			}
			e.wantStored(u, content(10))
			d.append(u, 10, true, content(90), field9530("Content-Digest", h.field, content(90))).status(d.appended())
			d.want(u, 100, true)
		}
	}
}

func contentDigestChangesNothing(e *env) {
	for _, interop := range interopVersions {
		d := e.ietf(interop)
		wrong := field9530("Content-Digest", "sha-256", content(91))
		u := d.begin()
		d.append(u, 0, false, content(10), "Upload-Length: 50", field9530("Repr-Digest", "md5", content(50)), wrong).refusedWith(400, "ERR_CHECKSUM_MISMATCH", "")
		d.append(u, 0, true, content(10), field9530("Repr-Digest", "md5", content(50)), wrong).refusedWith(400, "ERR_CHECKSUM_MISMATCH", "")
		d.want(u, 0, false)
		d.append(u, 0, false, content(10), "Upload-Length: 100", field9530("Content-Digest", "sha-256", content(10))).status(d.appended())
		d.append(u, 10, true, content(100)[10:], field9530("Repr-Digest", "md5", content(100))).status(d.appended())
		d.want(u, 100, true)
		e.wantStored(u, content(100))
	}
}

func contentDigestCreation(e *env) {
	d := e.ietf(9)
	a := d.create(true, content(90), field9530("Content-Digest", "sha-256", content(91))).refusedWith(400, "ERR_CHECKSUM_MISMATCH", "")
	d.wantComplete(a, false)
	u := a.location()
	d.want(u, 0, false)
	d.append(u, 0, true, content(90)).status(204)
	d.create(true, content(90), field9530("Content-Digest", "sha-256", content(90))).status(201)
	d.create(true, nil, field9530("Content-Digest", "sha-256", content(1))).refusedWith(400, "ERR_CHECKSUM_MISMATCH", "").without("Location")
	d.create(true, nil, field9530("Content-Digest", "sha-256", nil)).status(201)
}

func contentDigestTus(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(40), field9530("Content-Digest", "sha-256", content(41))).status(460).code("ERR_CHECKSUM_MISMATCH")
	e.wantOffset(u, 0)
	e.patch(u, 0, content(40), field9530("Content-Digest", "sha-256", content(40))).status(204)

	good, bad := field9530("Repr-Digest", "sha-256", content(10)), field9530("Repr-Digest", "sha-256", content(11))
	u = e.do(http.MethodPost, "/files/", nil, version, "Upload-Length: 10", good).status(201).location()
	e.patch(u, 0, content(10)).status(204)
	e.head(u).header("Repr-Digest", field9530("", "sha-256", content(10))[2:])
	u = e.do(http.MethodPost, "/files/", nil, version, "Upload-Length: 10", bad).status(201).location()
	e.patch(u, 0, content(10)).status(422).code("ERR_DIGEST_MISMATCH")
	e.head(u).status(422)
}

func contentDigestSeveral(e *env) {
	d := e.ietf(9)
	u := d.begin()
	good, bad := field9530("", "sha-256", content(10))[2:], field9530("", "md5", content(11))[2:]
	for _, lines := range [][]string{{"Content-Digest: " + good + ", " + bad}, {"Content-Digest: " + bad, "Content-Digest: " + good}} {
		d.append(u, 0, false, content(10), lines...).refusedWith(400, "ERR_CHECKSUM_MISMATCH", "")
	}
	d.want(u, 0, false)
	d.append(u, 0, false, content(10), "Content-Digest: "+good+", md5=:"+sum64("md5", content(10))+":, other=:YQ==:").status(204)
}

func contentDigestUnknown(e *env) {
	d := e.ietf(9)
	u := d.begin()
	for i, line := range []string{
		"Content-Digest: sha-3=:YQ==:", "Content-Digest: sha-256=abc", "Content-Digest: sha-256=:YQ==", "Content-Digest: SHA-256=:YQ==:",
		"Content-Digest: sha-256=5", "Content-Digest:", "Digest: sha-256=YQ==",
	} {
		d.append(u, int64(10*i), false, content(10), line).status(204)
	}
}

func contentDigestCut(e *env) {
	d := e.ietf(9)
	u := d.begin()
	data := content(2 << 20)
	s := d.open(http.MethodPatch, u, int64(len(data)), d.appendHeader(0, true, field9530("Content-Digest", "sha-512", data))...)
	s.sendAndSee(data[:1<<20])
	s.cut()
	s.wantNoInterim()
	d.want(u, 0, false)
	e.wantStored(u, nil)
	d.append(u, 0, true, data, field9530("Content-Digest", "sha-512", data)).status(204)
}
