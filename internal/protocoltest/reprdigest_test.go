package protocoltest

import (
	"net/http"
	"sync/atomic"
	"testing"
)

func TestReprDigest(t *testing.T) {
	runIETF(t, []scenario{
		{"R41_good", "an upload that matches its Repr-Digest is complete, and says so", everyVersion(reprDigestGood)},
		{"R41_bad", "an upload that does not match its Repr-Digest has failed permanently", everyVersion(reprDigestBad)},
		{"R41_resumed", "Repr-Digest is compared at the end, after PATCHes, cuts and restarts", newest(reprDigestResumed)},
		{"R41_lost_state", "after a crash has lost a state, the bytes are read again before the digest is compared", newest(reprDigestLostState)},
		{"R41_unreadable", "an upload that cannot be compared is not complete: a transient error", newest(reprDigestUnreadable)},
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
		d.env.changeDigests(u, resetDigest)
		d.append(u, 400, true, data[400:]).status(status)
	}
}

func reprDigestUnreadable(d *ietfClient) {
	unreadable(d, true)
	d.env.restart()
	unreadable(d, false)
}

// unreadable completes an upload whose bytes cannot be read, with a right or a wrong digest.
func unreadable(d *ietfClient, right bool) {
	e, failing, data := d.env, new(atomic.Bool), content(1000)
	said := data
	if !right {
		said = nil
	}
	e.config.StoreComposer.Core = unreadableStore{DataStore: e.config.StoreComposer.Core, failing: failing}
	composer := e.config.StoreComposer
	composer.LengthDeferrer = unwrappingDeferrer{composer.LengthDeferrer}
	u := d.create(false, data[:400], field9530("Repr-Digest", "sha-256", said)).status(201).location()
	e.changeDigests(u, resetDigest)
	failing.Store(true)
	d.append(u, 400, true, data[400:]).refusedWith(503, "ERR_FINISH_FAILED", "")
	d.head(u).status(503)
	e.restart() // the server forgets that it failed, the record does not
	e.config.StoreComposer.Core = unreadableStore{DataStore: e.config.StoreComposer.Core, failing: failing}
	e.config.StoreComposer.LengthDeferrer = unwrappingDeferrer{e.config.StoreComposer.LengthDeferrer}
	d.head(u).status(503)
	failing.Store(false)
	e.eventually("it is compared after all", func() bool { return d.head(u).Status != 503 })
	if right {
		d.head(u).status(204).header("Repr-Digest", reprDigest("sha-256", data))
	} else {
		d.head(u).status(422).without("Repr-Digest")
	}
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
