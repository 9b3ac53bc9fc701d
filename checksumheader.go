package tusd

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// checksumField is the name of the header and of the trailer.
const checksumField = "Upload-Checksum"

// prepareTusBody prepares the body of a creation or an append, with its checksum.
func (x *exchange) prepareTusBody(op *operation) error {
	v, err := readTusChecksum(x.body.request)
	if err != nil {
		return err
	}
	offered := x.h.engine.config.offersChecksums()
	if v != nil && !offered {
		return ErrInvalidChecksum.With(errors.New("the store cannot take checksums"))
	}
	if v == nil && offered {
		v = contentDigestForTus(x.body.request)
	}
	op.body, x.body.verifier = &x.body, v
	x.expectTrailingChecksum()
	return nil
}

// readTusChecksum reads Upload-Checksum, or prepares for it as an announced trailer. It
// returns nil if there is neither.
func readTusChecksum(r *http.Request) (*verifier, error) {
	value, inHeader, err := singleField(r.Header, checksumField, ErrInvalidChecksum)
	if err != nil {
		return nil, err
	}
	_, announced := r.Trailer[checksumField]
	announced = announced || slices.ContainsFunc(r.Header["Trailer"], namesChecksum) // net/http keeps the field if the request's framing has no trailers
	switch {
	case inHeader && announced:
		return nil, ErrInvalidChecksum.With(errors.New("both as header and as trailer"))
	case inHeader:
		a, want, err := parseChecksum(value)
		if err != nil {
			return nil, err
		}
		late := func([]runningChecksum) error { return noTrailer(r) }
		return &verifier{checksums: []runningChecksum{{a, a.hash(), want}}, readTrailer: late}, nil
	case announced:
		return announcedTusChecksum(r), nil
	}
	return nil, nil
}

// namesChecksum reports whether a list of field names contains Upload-Checksum.
func namesChecksum(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(name), checksumField) {
			return true
		}
	}
	return false
}

// noTrailer refuses a checksum in a trailer if the header has one.
func noTrailer(r *http.Request) error {
	if hasValue(r.Trailer, checksumField) {
		return ErrInvalidChecksum.With(errors.New("a trailer, and a checksum in the header"))
	}
	return nil
}

// announcedTusChecksum computes the checksums of all offered algorithms, because the
// trailer names its algorithm only at the end.
func announcedTusChecksum(r *http.Request) *verifier {
	v := &verifier{}
	for i := range algorithms {
		if algorithms[i].tus != "" {
			v.checksums = append(v.checksums, runningChecksum{algorithm: &algorithms[i], hash: algorithms[i].hash()})
		}
	}
	v.readTrailer = func(sums []runningChecksum) error {
		value, present, err := singleField(r.Trailer, checksumField, ErrInvalidChecksum)
		if err == nil && !present {
			err = ErrInvalidChecksum.With(errors.New("the announced trailer is missing"))
		}
		if err != nil {
			return err
		}
		a, want, err := parseChecksum(value)
		for i := range sums {
			if err == nil && sums[i].algorithm == a {
				sums[i].want = want
			}
		}
		return err
	}
	return v
}

// parseChecksum reads the name of an algorithm, one space, and base64. A value of the
// wrong length is not a syntax error but a mismatch.
func parseChecksum(s string) (*algorithm, []byte, error) {
	name, encoded, ok := strings.Cut(s, " ")
	a := tusAlgorithm(name)
	if !ok || a == nil {
		return nil, nil, ErrInvalidChecksum.With(errors.New("unknown algorithm or no value"))
	}
	want, err := decodeDigest(encoded)
	if err != nil || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, nil, ErrInvalidChecksum.With(errors.New("the value is no base64"))
	}
	return a, want, nil
}

var strictBase64 = base64.StdEncoding.Strict()

// decodeDigest decodes base64 that is to be compared with a digest. It validates all of
// it, but cuts the result to longestDigest bytes, which are more than a digest has and
// cannot match.
func decodeDigest(encoded string) (decoded []byte, err error) {
	const step = longestDigest / 3 * 4
	var in [step]byte
	var out [longestDigest]byte
	for rest := encoded; rest != "" && err == nil; {
		n := copy(in[:], rest)
		rest = rest[n:]
		if rest != "" && in[n-1] == '=' {
			return nil, errors.New("padding before the end")
		}
		n, err = strictBase64.Decode(out[:], in[:n])
		if decoded == nil {
			decoded = slices.Clone(out[:n])
		}
	}
	return decoded, err
}

// contentDigestForTus reads Content-Digest, which belongs to HTTP and not to a dialect.
// It refuses a checksum of tus in a trailer beside it.
func contentDigestForTus(r *http.Request) *verifier {
	v := readContentDigest(r)
	if v == nil {
		return nil
	}
	late := v.readTrailer
	v.readTrailer = func(sums []runningChecksum) error {
		err := noTrailer(r)
		if err == nil && late != nil {
			err = late(sums)
		}
		return err
	}
	return v
}
