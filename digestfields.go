package tusd

import (
	"net/http"
	"slices"

	"github.com/tus/tusd/internal/structured"
)

// contentDigestField may also be a trailer (RFC 9530, section 4).
const contentDigestField = "Content-Digest"

// readContentDigest returns a verifier for Content-Digest, as a header or as an
// announced trailer, or nil if there is none. Unknown algorithms are ignored, as
// RFC 9530 allows.
func readContentDigest(r *http.Request) *verifier {
	if sums := knownContentDigests(r.Header[contentDigestField]); len(sums) > 0 {
		return &verifier{checksums: sums}
	}
	if _, announced := r.Trailer[contentDigestField]; !announced {
		return nil
	}
	return &verifier{checksums: newChecksums(), readTrailer: func(sums []runningChecksum) error {
		for _, s := range knownContentDigests(r.Trailer[contentDigestField]) {
			sums[slices.IndexFunc(sums, func(t runningChecksum) bool { return t.algorithm == s.algorithm })].want = s.want
		}
		return nil
	}}
}

// knownContentDigests returns the digests of Content-Digest with a known algorithm.
func knownContentDigests(values []string) (sums []runningChecksum) {
	if len(values) == 0 {
		return nil
	}
	for i, item := range fieldAlgorithms(values) {
		if item.Kind == structured.IsBytes {
			sums = append(sums, runningChecksum{&algorithms[i], algorithms[i].hash(), item.Bytes(longestDigest)})
		}
	}
	return sums
}

// readReprDigest returns the digests of Repr-Digest with a known algorithm, which
// the server computes and compares. If there are none, it returns the algorithm that
// the client prefers in Want-Repr-Digest.
func readReprDigest(values, wishes []string) []Digest {
	if len(values) == 0 && len(wishes) == 0 {
		return nil
	}
	var digests []Digest
	for i, item := range fieldAlgorithms(values) {
		if item.Kind == structured.IsBytes && item.Encoded != "" {
			digests = append(digests, Digest{Algorithm: algorithms[i].field, Want: item.Bytes(longestDigest)})
		}
	}
	if len(digests) > 0 {
		return digests
	}
	var preferred string
	var weight int64
	for i, item := range fieldAlgorithms(wishes) {
		if item.Kind == structured.IsInteger && item.Integer > weight {
			preferred, weight = algorithms[i].field, item.Integer
		}
	}
	if preferred == "" {
		return nil
	}
	return []Digest{{Algorithm: preferred}}
}

// fieldAlgorithms parses a dictionary whose keys are names of algorithms. The item
// of algorithms[i] is items[i], zero if the dictionary has none.
func fieldAlgorithms(values []string) (items [algorithmCount]structured.Item) {
	ok := structured.Dictionary(values, func(key string, item structured.Item) {
		if i := fieldAlgorithmIndex(key); i >= 0 {
			items[i] = item
		}
	})
	if !ok {
		return [algorithmCount]structured.Item{}
	}
	return items
}
