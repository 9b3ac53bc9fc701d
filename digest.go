package tusd

import (
	"bytes"
	"context"
	"encoding"
	"hash"
	"slices"
	"time"
)

// Digests of whole uploads (RFC 9530, Repr-Digest) survive resumed requests and
// restarts. The record has the state of the running hash and the offset up to
// which it counts. The server reads the bytes after that again from the store, in
// the background. A digest that cannot be computed is absent, never wrong.

// known reports whether this program has the algorithm: another version may have
// written the record.
func (d Digest) known() bool { return fieldAlgorithm(d.Algorithm) != nil }

// running returns d with its hash function in the state at d.Offset. If the state
// cannot be read, the digest begins again at 0. The algorithm has to be known.
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

// fresh returns d before its first byte.
func (d Digest) fresh() Digest { return Digest{Algorithm: d.Algorithm, Want: d.Want} }

// within returns d, or d before its first byte if it covers more than offset
// bytes. Then bytes were lost, and the client may send other ones in their place.
func (d Digest) within(offset int64) Digest {
	if d.Offset <= offset {
		return d
	}
	return d.fresh()
}

// at returns d with the state of h, which has hashed the bytes up to offset.
func (d Digest) at(offset int64, h hash.Hash, full bool) (Digest, error) {
	if full {
		d.Offset, d.State, d.Sum = offset, nil, h.Sum(nil)
		return d, nil
	}
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	d.Offset, d.State = offset, state
	return d, err
}

// newDigests returns the digests of a new upload: the one of Config.Digest and
// those that the client asks for.
func (e *engine) newDigests(wanted []Digest) []Digest {
	var own []Digest
	if a := tusAlgorithm(e.config.Digest); a != nil {
		own = append(own, Digest{Algorithm: a.field})
	}
	return joinDigests(own, wanted)
}

// joinDigests adds the digests that a client asks for to those of an upload.
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

// wantDigests writes the digests that a client wants compared to the record. The
// upload gets a state, because offset and length no longer show that it is complete.
func (u *lockedUpload) wantDigests(wanted []Digest) error {
	if !verifies(wanted) {
		return nil
	}
	return u.update(u.ctx, func(info *FileInfo) error {
		info.Digests = joinDigests(info.Digests, wanted)
		if info.State == "" {
			info.State = StateUploading
		}
		return nil
	})
}

// digestRunner updates the digests of an upload while a body is read.
type digestRunner struct {
	digests     []Digest
	hashes      []hash.Hash // by the index of the digest; nil: the digest lacks earlier bytes
	saved       time.Time   // time of the last write to the record
	savedOffset int64       // offset of that write
}

// newRunner returns nil if no digest has the state at the upload's offset. At
// offset 0, a digest shares the hash of a checksum of the body by the same algorithm.
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
			continue // the state could not be read
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

// states returns the digests at offset. The hashes must have seen the bytes up to
// offset.
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

// While a body is read, its digests are saved after this time or this many bytes.
const (
	digestSaveInterval = 5 * time.Second
	digestSaveBytes    = 64 << 20
)

// saveDigests writes the digests to the record: at the end of a body, and from time
// to time before. start is the offset at which the body begins. If the write fails,
// the digests catch up later.
func (e *engine) saveDigests(op *operation, u *lockedUpload, start int64) {
	runner := op.body.digests
	if runner == nil || start+op.body.received.Load() != u.info.Offset || u.info.Offset == runner.savedOffset && !u.info.Full() {
		return // the store has kept less than was hashed, or there is nothing new
	}
	if !op.body.ended() && time.Since(runner.saved) < digestSaveInterval && u.info.Offset-runner.savedOffset < digestSaveBytes {
		return
	}
	states, err := runner.states(u.info.Offset, u.info.Full())
	if err == nil {
		err = u.storeDigests(u.ctx, states)
	}
	if err != nil {
		e.log.Warn("the state of a digest could not be kept", "id", u.id, "err", err)
		return
	}
	runner.saved, runner.savedOffset = time.Now(), u.info.Offset
}

// resetLostDigests resets, in the record, the digests that cover more than the stored
// bytes, before other bytes take the place of the lost ones.
func (u *lockedUpload) resetLostDigests() error {
	ahead := func(d Digest) bool { return d.Offset > u.info.Offset }
	if !slices.ContainsFunc(u.info.Digests, ahead) {
		return nil
	}
	states := slices.Clone(u.info.Digests)
	for i, d := range states {
		states[i] = d.within(u.info.Offset)
	}
	return u.storeDigests(u.ctx, states)
}

// storeDigests writes the digests to the record.
func (u *lockedUpload) storeDigests(ctx context.Context, states []Digest) error {
	err := u.update(ctx, func(info *FileInfo) error {
		info.Digests = states
		return nil
	})
	if err == nil {
		u.info.Digests = states
	}
	return err
}

// maxWaitingCatchUps limits how many uploads wait until their digests catch up in the
// background. Further uploads begin at their next request.
const maxWaitingCatchUps = 1000

// checkDigests compares the digests of a full upload with those that the client
// wants. It first computes what the comparison needs, and all digests of a final.
func (e *engine) checkDigests(ctx context.Context, u *lockedUpload) error {
	needed := u.info.IsFinal
	for _, d := range u.info.Digests {
		needed = needed || d.Sum == nil && (d.Want != nil || d.Offset >= u.info.Offset)
	}
	if !needed || !digestsBehind(u.info) {
		return compareDigests(u.info.Digests)
	}
	states, err := hashMissing(ctx, u.upload, u.info)
	if err != nil {
		return err
	}
	if err := u.storeDigests(ctx, states); err != nil {
		return err
	}
	return compareDigests(states)
}

// verifies reports whether the client wants one of the digests compared.
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

// reprDigest returns the value of Repr-Digest for a complete upload, "" if no
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
