package tusd

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
)

// Checksums in trailers that the header of the request has not announced (RFC
// 9110, section 6.6.2, has it as a SHOULD, tus as a MUST). When one comes, the
// body is stored already. It is verified then, and taken back if it is wrong.

// contentDigestField may be a trailer, too (RFC 9530, section 4).
const contentDigestField = "Content-Digest"

// trailingChecksum is a checksum that may come unannounced at the end of a body.
type trailingChecksum struct {
	request *http.Request // the server's own: in copies of it the trailers do not appear
	dialect Dialect
	sums    []runningDigest // running along with the body; nil: it is read again from the store

	wants []runningDigest // what has come
	tail  []byte          // the end of the body, which is not handed out
}

// expectTrailingChecksum prepares for an unannounced checksum, if the body has no other one.
func (x *exchange) expectTrailingChecksum() {
	b, config := &x.body, &x.h.engine.config
	if !showTrailers(b.from) || b.verifier != nil || !config.offersChecksums() {
		return
	}
	b.trailing = &trailingChecksum{request: b.from, dialect: x.dialect.name()}
	if !config.readsIncomplete() {
		b.trailing.sums = allSums()
	}
}

// showTrailers reports whether an unannounced checksum could be seen. Over HTTP/1.1
// only chunked content has trailers. Over HTTP/2 net/http keeps those whose names are
// in the request's map, and there is a map if any other trailer is announced.
func showTrailers(r *http.Request) bool {
	if r.ProtoMajor == 1 {
		return r.ContentLength < 0
	}
	if r.Trailer == nil {
		return false
	}
	for _, name := range []string{checksumField, contentDigestField} {
		if _, announced := r.Trailer[name]; !announced {
			r.Trailer[name] = nil
		}
	}
	return true
}

// allSums are running hashes of all algorithms.
func allSums() []runningDigest {
	sums := make([]runningDigest, len(algorithms))
	for i := range algorithms {
		sums[i] = runningDigest{algorithm: &algorithms[i], hash: algorithms[i].hash()}
	}
	return sums
}

// end is called when a body of n bytes has ended, with what was read last. It
// returns nil if there is no checksum, or a right one. If it cannot tell, it keeps
// last and returns ErrUnverified.
func (l *trailingChecksum) end(last []byte, n int64) error {
	var err error
	if l.wants, err = l.read(); err != nil {
		return unverified(err)
	}
	switch {
	case len(l.wants) == 0:
		return nil
	case l.sums != nil:
		return l.compare(l.sums)
	case n > int64(len(last)):
		l.tail = slices.Clone(last)
		return ErrUnverified
	}
	sums := l.fresh()
	for _, s := range sums {
		s.hash.Write(last)
	}
	return l.compare(sums)
}

// unverified marks an error as one of content that may be stored already.
func unverified(err error) error {
	e := asError(err)
	return e.With(errors.Join(ErrUnverified, e.Err))
}

// fresh are new hashes for what has come.
func (l *trailingChecksum) fresh() []runningDigest {
	sums := slices.Clone(l.wants)
	for i := range sums {
		sums[i].hash = sums[i].algorithm.hash()
	}
	return sums
}

// compare holds hashes of the whole body against what has come.
func (l *trailingChecksum) compare(sums []runningDigest) error {
	for _, want := range l.wants {
		for _, s := range sums {
			if s.algorithm == want.algorithm && !bytes.Equal(s.hash.Sum(nil), want.want) {
				return unverified(ErrChecksumMismatch)
			}
		}
	}
	return nil
}

// read takes the checksums out of the trailers.
func (l *trailingChecksum) read() (wants []runningDigest, err error) {
	trailer := l.request.Trailer
	if value, present, err := singleField(trailer, checksumField, ErrInvalidChecksum); l.dialect == DialectTus && (present || err != nil) {
		if err != nil {
			return nil, err
		}
		a, want, err := parseChecksum(value)
		if err != nil {
			return nil, err
		}
		wants = append(wants, runningDigest{algorithm: a, want: want})
	}
	return append(wants, digestSums(trailer[contentDigestField])...), nil
}

// writeTrailing stores a body whose checksum may come unannounced, and verifies it if
// it has.
func (e *engine) writeTrailing(c *operation, h *lockedUpload) error {
	start, late := h.info.Offset, c.body.trailing
	n, err := h.upload.WriteChunk(h.ctx, start, c.body)
	h.info.Offset += n
	if !errors.Is(err, ErrUnverified) {
		return err
	}
	if late.tail != nil {
		ctx := h.lease.Context() // the client may go: what is stored is verified nevertheless
		if err = late.reread(ctx, h, start, c.body.n); err == nil {
			n, err = h.upload.WriteChunk(ctx, h.info.Offset, bytes.NewReader(late.tail))
			h.info.Offset += n
			return err
		}
	}
	return e.rewind(h, start, err)
}

// reread verifies a body of n bytes that is stored from start on, but for its tail.
func (l *trailingChecksum) reread(ctx context.Context, h *lockedUpload, start, n int64) error {
	if h.info.Offset != start+n-int64(len(l.tail)) {
		return errors.New("the store has less than was read")
	}
	sums := l.fresh()
	for _, s := range sums {
		if err := hashStored(ctx, s.hash, h.upload, start, h.info.Offset); err != nil {
			return err
		}
		s.hash.Write(l.tail)
	}
	return l.compare(sums)
}

// rewind takes back what a refused body has stored since start. It returns err. An
// upload that cannot be cut back has failed: it would keep bytes that are wrong.
func (e *engine) rewind(h *lockedUpload, start int64, err error) error {
	ctx := h.lease.Context()
	cannot := errors.New("the store cannot take content back")
	if e.store.Rewinder != nil {
		cannot = e.store.Rewinder.Rewind(ctx, h.upload, start)
	} else if h.info.Offset == start {
		return err
	}
	if cannot == nil {
		h.info.Offset = start
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: statusFor(ErrUploadFailed, h.info.Dialect, "")}
	if stateErr := h.setState(ctx, StateFailed, failure); stateErr != nil {
		return errors.Join(ErrInternal.With(cannot), stateErr)
	}
	e.log.Warn("an upload has failed: content that does not match its checksum cannot be taken back", "id", h.id, "err", cannot)
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}
