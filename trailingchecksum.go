package tusd

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
)

// Checksums in trailers that the header of the request has not announced (RFC 9110,
// section 6.6.2, has it as a SHOULD, tus as a MUST). When such a checksum arrives, the
// body is already stored. It is verified then, and cut off if it is wrong.

// trailingChecksum is a checksum that may arrive unannounced at the end of a body.
type trailingChecksum struct {
	request   *http.Request // the server's own request: copies do not get the trailers
	dialect   Dialect
	checksums []runningChecksum // computed while the body is read; nil: the body is read again from the store

	received []runningChecksum // the checksums in the trailers
	tail     []byte            // the end of the body, which is not passed to the store before it is verified
}

// expectTrailingChecksum prepares for an unannounced checksum, unless the body has
// another one.
func (x *exchange) expectTrailingChecksum() {
	b, config := &x.body, &x.h.engine.config
	if !exposeTrailers(b.request) || b.verifier != nil || !config.offersChecksums() {
		return
	}
	b.trailing = &trailingChecksum{request: b.request, dialect: x.dialect.name()}
	if !config.readsIncomplete() {
		b.trailing.checksums = newChecksums()
	}
}

// exposeTrailers makes net/http keep unannounced checksums, and reports whether they
// could be seen. Over HTTP/1.1 only chunked content has trailers. Over HTTP/2 net/http
// keeps the trailers whose names are in the request's map, and the map exists only if
// another trailer is announced.
func exposeTrailers(r *http.Request) bool {
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

// newChecksums returns running hashes of all algorithms.
func newChecksums() []runningChecksum {
	sums := make([]runningChecksum, len(algorithms))
	for i := range algorithms {
		sums[i] = runningChecksum{algorithm: &algorithms[i], hash: algorithms[i].hash()}
	}
	return sums
}

// end is called when a body of n bytes has ended, with the bytes that were read last.
// It returns nil if there is no checksum, or if it is right. If the body has to be read
// again to know this, it keeps last and returns ErrUnverified.
func (t *trailingChecksum) end(last []byte, n int64) error {
	var err error
	if t.received, err = t.read(); err != nil {
		return unverified(err)
	}
	switch {
	case len(t.received) == 0:
		return nil
	case t.checksums != nil:
		return t.compare(t.checksums)
	case n > int64(len(last)):
		t.tail = slices.Clone(last)
		return ErrUnverified
	}
	sums := t.newHashes()
	for _, s := range sums {
		s.hash.Write(last)
	}
	return t.compare(sums)
}

// unverified marks an error as one of content that may be stored already.
func unverified(err error) error {
	e := asError(err)
	return e.With(errors.Join(ErrUnverified, e.Err))
}

// newHashes returns the received checksums with new hashes.
func (t *trailingChecksum) newHashes() []runningChecksum {
	sums := slices.Clone(t.received)
	for i := range sums {
		sums[i].hash = sums[i].algorithm.hash()
	}
	return sums
}

// compare compares hashes of the whole body with the received checksums.
func (t *trailingChecksum) compare(sums []runningChecksum) error {
	for _, want := range t.received {
		for _, s := range sums {
			if s.algorithm == want.algorithm && !bytes.Equal(s.hash.Sum(nil), want.want) {
				return unverified(ErrChecksumMismatch)
			}
		}
	}
	return nil
}

// read reads the checksums in the trailers.
func (t *trailingChecksum) read() (received []runningChecksum, err error) {
	trailer := t.request.Trailer
	if value, present, err := singleField(trailer, checksumField, ErrInvalidChecksum); t.dialect == DialectTus && (present || err != nil) {
		if err != nil {
			return nil, err
		}
		a, want, err := parseChecksum(value)
		if err != nil {
			return nil, err
		}
		received = append(received, runningChecksum{algorithm: a, want: want})
	}
	return append(received, knownContentDigests(trailer[contentDigestField])...), nil
}
