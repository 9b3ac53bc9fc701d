package s3store

import (
	"fmt"
	"math"

	"github.com/tus/tusd"
)

// partSizes chooses the sizes of parts. A service limits the number of parts,
// so a part must be large enough that the rest of the upload fits into the
// remaining numbers, however often requests end early.
type partSizes struct {
	minPart   int64
	maxPart   int64 // limit of the service and of the memory
	maxParts  int
	maxObject int64
	preferred int64
	equal     bool    // all parts but the last have the same size
	growth    float64 // from part to part, if the length of the upload is not known
}

// memoryShare is how many of the largest parts fit into the memory pool.
const memoryShare = 4

func newPartSizes(p Profile, minPart, preferred, memory int64) (partSizes, error) {
	s := partSizes{
		minPart: max(p.MinPart, minPart), maxPart: min(p.MaxPart, memory/memoryShare), maxParts: p.MaxParts,
		maxObject: p.MaxObject, equal: p.EqualParts,
	}
	if s.maxPart < s.minPart {
		return partSizes{}, fmt.Errorf("%d bytes of memory are too little for parts of %d bytes: %d are needed", memory, s.minPart, memoryShare*s.minPart)
	}
	s.preferred = min(max(preferred, s.minPart), s.maxPart)
	s.growth = s.findGrowth()
	return s, nil
}

// growShare is the share of the parts of an upload of unknown length that may
// be smaller than the largest part. The others hold nearly as much as an upload
// of known length can have.
const growShare = 8

// findGrowth computes by which factor each part must be larger than the
// previous one, so that all parts together make the largest object, or the
// largest part is reached early.
func (s *partSizes) findGrowth() float64 {
	low, high := 1.0, math.Pow(float64(s.maxPart)/float64(s.minPart), growShare/float64(s.maxParts))
	if s.totalSize(high) <= float64(s.maxObject) {
		return high
	}
	for range 60 {
		if middle := (low + high) / 2; s.totalSize(middle) < float64(s.maxObject) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// totalSize returns how many bytes all parts have if they grow to the largest
// part.
func (s *partSizes) totalSize(growth float64) float64 {
	growing := float64(s.maxParts)
	if growth > 1 {
		growing = min(growing, math.Log(float64(s.maxPart)/float64(s.minPart))/math.Log(growth))
	}
	n := int(growing)
	return s.sumOfGrowing(growth, n) + float64(s.maxParts-n)*float64(s.maxPart)
}

// sumOfGrowing returns the sum of the first n sizes.
func (s *partSizes) sumOfGrowing(growth float64, n int) float64 {
	if growth-1 < 1e-12 {
		return float64(s.minPart) * float64(n)
	}
	return float64(s.minPart) * (math.Pow(growth, float64(n)) - 1) / (growth - 1)
}

// maxUpload returns the length of the largest upload that can be stored.
func (s *partSizes) maxUpload() int64 {
	return min(s.maxObject, s.maxPart*int64(s.maxParts))
}

// checkLength refuses a length that cannot be stored. -1 means that it is not
// known.
func (s *partSizes) checkLength(length int64) error {
	if length > s.maxUpload() {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("%d bytes need more than %d parts of %d bytes, or are more than an object may have", length, s.maxParts, s.maxPart))
	}
	return nil
}

// equalSize returns the size of all parts, where they must be equal.
func (s *partSizes) equalSize(length int64) int64 {
	return max(s.preferred, ceilDiv(length, int64(s.maxParts)))
}

// minSize returns the least size of a part. number is its number, from 1;
// stored is the size of the parts before it; length is that of the upload, or
// -1 if it is not known. The last part of an upload may be smaller.
func (s *partSizes) minSize(number int, stored, length int64) (int64, error) {
	left := int64(s.maxParts - number + 1)
	if left <= 0 {
		return 0, tusd.ErrMaxSizeExceeded.With(fmt.Errorf("the service takes no more than %d parts", s.maxParts))
	}
	size := s.minPart
	if length >= 0 {
		size = max(size, ceilDiv(length-stored, left))
	} else {
		grown := math.Ceil(s.sumOfGrowing(s.growth, number)) - float64(stored)
		size = max(size, int64(min(grown, float64(s.maxPart))))
	}
	if size > s.maxPart {
		return 0, tusd.ErrMaxSizeExceeded.With(fmt.Errorf("part %d would need %d bytes, the largest has %d", number, size, s.maxPart))
	}
	return size, nil
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
