package tusd

import (
	"net/http"
	"slices"

	"github.com/tus/tusd/internal/structured"
)

// The fields of RFC 9530, which belong to HTTP and not to a dialect.

// contentDigestField may be a trailer, too (RFC 9530, section 4).
const contentDigestField = "Content-Digest"

// readContentDigest reads Content-Digest, or prepares for it as an announced trailer.
// It is nil if there is neither, or no algorithm that is known here, which RFC 9530
// allows to be passed over.
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

// knownContentDigests reads the digests of a Content-Digest that are known here.
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

// readReprDigest reads Repr-Digest: every algorithm that is known here is kept
// and compared. If there is none, it is the one of Want-Repr-Digest that the
// client prefers.
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

// fieldAlgorithms reads a dictionary by the names of the algorithms that are
// known here, and returns what it says of each, in their order: zero for
// nothing.
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
