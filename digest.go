package tusd

import (
	"bytes"
	"context"
	"encoding"
	"hash"
	"slices"
	"time"
)

// Digests of whole uploads (RFC 9530, Repr-Digest) that survive resumes. The
// running state of the hash is kept in the record with the offset up to which
// it counts. Bytes behind that are read again from the store, by the server,
// off the path of requests. A digest that cannot be had is absent, never
// wrong.

// known tells whether this program has the algorithm; a record may be from
// another one.
func (d Digest) known() bool { return fieldAlgorithm(d.Algorithm) != nil }

// running returns d with its hash function as it was at d.Offset. A state that
// cannot be read counts for nothing: the digest then begins again. The
// algorithm is known.
func (d Digest) running() (Digest, hash.Hash) {
	h := fieldAlgorithm(d.Algorithm).hash()
	if d.Offset == 0 {
		return d, h
	}
	state, ok := h.(encoding.BinaryUnmarshaler)
	if !ok || state.UnmarshalBinary(d.State) != nil {
		return d.fresh(), fieldAlgorithm(d.Algorithm).hash()
	}
	return d, h
}

// fresh is d before its first byte.
func (d Digest) fresh() Digest { return Digest{Algorithm: d.Algorithm, Want: d.Want} }

// within is d, or its beginning if d covers more than offset bytes. Then
// bytes were lost, and nobody knows that what comes in their place is the same.
func (d Digest) within(offset int64) Digest {
	if d.Offset <= offset {
		return d
	}
	return d.fresh()
}

// at is d after its hash has come to offset.
func (d Digest) at(offset int64, h hash.Hash, full bool) (Digest, error) {
	if full {
		d.Offset, d.State, d.Sum = offset, nil, h.Sum(nil)
		return d, nil
	}
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	d.Offset, d.State = offset, state
	return d, err
}

// newDigests are the digests that a new upload is to have: the server's and
// those that the client has named.
func (e *engine) newDigests(wanted []Digest) []Digest {
	var own []Digest
	if a := tusAlgorithm(e.config.Digest); a != nil {
		own = append(own, Digest{Algorithm: a.field})
	}
	return joinDigests(own, wanted)
}

// joinDigests adds to the digests of an upload those that a client wants.
func joinDigests(digests, wanted []Digest) []Digest {
	all := slices.Clone(digests)
	for _, w := range wanted {
		i := slices.IndexFunc(all, func(d Digest) bool { return d.Algorithm == w.Algorithm })
		switch {
		case i < 0:
			all = append(all, w)
		case w.Want != nil:
			all[i].Want = w.Want
		}
	}
	return all
}

// wantDigests has the digests of an upload compared with what a client says
// of it after it was created. The record is then not enough to tell that the
// upload is complete.
func (h *lockedUpload) wantDigests(wanted []Digest) error {
	if !verifies(wanted) {
		return nil
	}
	return h.update(h.ctx, func(info *FileInfo) error {
		info.Digests = joinDigests(info.Digests, wanted)
		if info.State == "" {
			info.State = StateUploading
		}
		return nil
	})
}

// digestRunner keeps the digests of an upload that run along with a body.
type digestRunner struct {
	digests     []Digest
	hashes      []hash.Hash // nil where the digest is behind and cannot run along
	saved       time.Time   // when the record was last written
	savedOffset int64       // and with which offset
}

// newRunner returns nil if no digest can run along from the upload's offset.
// One that is to see the same bytes as a checksum of the body shares its hash.
func newRunner(info *FileInfo, v *verifier) *digestRunner {
	if len(info.Digests) == 0 {
		return nil
	}
	r := &digestRunner{digests: info.Digests, hashes: make([]hash.Hash, len(info.Digests)), saved: time.Now(), savedOffset: info.Offset}
	running := false
	for i, d := range info.Digests {
		if d.Offset != info.Offset || d.Sum != nil || !d.known() {
			continue
		}
		d, h := d.running()
		if d.Offset != info.Offset {
			continue // its state could not be read
		}
		if shared := v.hash(d.Algorithm); d.Offset == 0 && shared != nil {
			h = shared
		}
		r.hashes[i], running = h, true
	}
	if !running {
		return nil
	}
	return r
}

// states are the digests at offset, which must be what the hashes have seen.
func (r *digestRunner) states(offset int64, full bool) ([]Digest, error) {
	states := slices.Clone(r.digests)
	for i, h := range r.hashes {
		if h == nil {
			continue
		}
		var err error
		if states[i], err = states[i].at(offset, h, full); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// How often the state of a digest is kept while a body is read.
const (
	digestSaveInterval = 5 * time.Second
	digestSaveBytes    = 64 << 20
)

// saveDigests writes down how far the digests have come that run along with
// a body whose bytes are stored from start on: when it has ended, and now and
// then before. If it cannot, they are behind and caught up with later.
func (e *engine) saveDigests(c *operation, h *lockedUpload, start int64) {
	runner := c.body.digests
	if runner == nil || start+c.body.n != h.info.Offset || h.info.Offset == runner.savedOffset && !h.info.Full() {
		return // the last but one: the store has kept less than what was hashed
	}
	if !c.body.ended() && time.Since(runner.saved) < digestSaveInterval && h.info.Offset-runner.savedOffset < digestSaveBytes {
		return
	}
	states, err := runner.states(h.info.Offset, h.info.Full())
	if err == nil {
		err = h.storeDigests(h.ctx, states)
	}
	if err != nil {
		e.log.Warn("the state of a digest could not be kept", "id", h.id, "err", err)
		return
	}
	runner.saved, runner.savedOffset = time.Now(), h.info.Offset
}

// resetLostDigests takes from the record what the digests cover beyond the stored
// bytes, before others take their place.
func (h *lockedUpload) resetLostDigests() error {
	ahead := func(d Digest) bool { return d.Offset > h.info.Offset }
	if !slices.ContainsFunc(h.info.Digests, ahead) {
		return nil
	}
	states := slices.Clone(h.info.Digests)
	for i, d := range states {
		states[i] = d.within(h.info.Offset)
	}
	return h.storeDigests(h.ctx, states)
}

// storeDigests writes the digests to the record.
func (h *lockedUpload) storeDigests(ctx context.Context, states []Digest) error {
	err := h.update(ctx, func(info *FileInfo) error {
		info.Digests = states
		return nil
	})
	if err == nil {
		h.info.Digests = states
	}
	return err
}

// maxWaitingCatchUps is how many uploads wait for that. With others it begins when they are
// asked for again.
const maxWaitingCatchUps = 1000

// checkDigests brings the digests that a client wants verified, and those of
// a final, up to date and compares them. It is called when all bytes are there.
func (e *engine) checkDigests(ctx context.Context, h *lockedUpload) error {
	needed := h.info.IsFinal
	for _, d := range h.info.Digests {
		needed = needed || d.Sum == nil && (d.Want != nil || d.Offset >= h.info.Offset)
	}
	if !needed || !digestsBehind(h.info) {
		return compareDigests(h.info.Digests)
	}
	states, err := hashMissing(ctx, h.upload, h.info)
	if err != nil {
		return err
	}
	if err := h.storeDigests(ctx, states); err != nil {
		return err
	}
	return compareDigests(states)
}

// verifies tells whether a client wants one of the digests compared.
func verifies(digests []Digest) bool {
	return slices.ContainsFunc(digests, func(d Digest) bool { return d.Want != nil })
}

func compareDigests(digests []Digest) error {
	for _, d := range digests {
		if d.Want != nil && !bytes.Equal(d.Want, d.Sum) {
			return ErrDigestMismatch
		}
	}
	return nil
}

// reprDigest is the value of Repr-Digest for a complete upload, "" if no
// digest is known.
func reprDigest(info FileInfo) string {
	value := ""
	for _, d := range info.Digests {
		if v := d.Value(); v != "" && info.Complete() {
			if value != "" {
				value += ", "
			}
			value += v
		}
	}
	return value
}
