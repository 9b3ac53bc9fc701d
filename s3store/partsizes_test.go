package s3store

import (
	"math/rand/v2"
	"testing"
)

// newTestPartSizes returns part sizes with memory for the largest part of the service.
func newTestPartSizes(t *testing.T, p Profile, largestPart int64) partSizes {
	t.Helper()
	l, err := newPartSizes(p.withDefaults(), 0, defaultPartSize, memoryShare*largestPart)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill divides an upload into the smallest parts that are allowed, as if every
// request ended early. It returns their number.
func fill(t *testing.T, l partSizes, size, length int64) (parts int) {
	t.Helper()
	for stored := int64(0); stored < size; {
		needed, err := l.minSize(parts+1, stored, length)
		if err != nil {
			t.Fatalf("at %d of %d bytes, %d parts: %v", stored, size, parts, err)
		}
		if needed < l.minPart || needed > l.maxPart {
			t.Fatalf("part %d needs %d bytes", parts+1, needed)
		}
		stored += needed
		parts++
	}
	return parts
}

func TestPartSizesOfLargestUploads(t *testing.T) {
	for _, maxParts := range []int{1000, 10_000} {
		l := newTestPartSizes(t, Profile{MaxParts: maxParts}, 6*gib)
		largest := l.maxUpload() // 5 TiB, or 1000 parts of 5 GiB
		for _, size := range []int64{largest - 1, largest, 4 * gib, 1} {
			if parts := fill(t, l, size, size); parts > maxParts {
				t.Errorf("%d bytes take %d parts, %d are allowed", size, parts, maxParts)
			}
		}
		if err := l.checkLength(largest + 1); err == nil {
			t.Error("a length above the largest object is accepted")
		}
	}
}

// The parts of an upload with a deferred length grow, so that the smallest of
// them suffice for the largest object.
func TestPartSizesOfUnknownLength(t *testing.T) {
	for _, maxParts := range []int{1000, 10_000} {
		l := newTestPartSizes(t, Profile{MaxParts: maxParts}, 100*gib)
		l.maxPart = 100 * gib // above the service's limit
		l.growth = l.findGrowth()
		if parts := fill(t, l, 5*tib, -1); parts > maxParts {
			t.Errorf("%d parts, %d are allowed", parts, maxParts)
		}
	}
}

// With the default memory an upload with a deferred length can be nearly as
// large as one with a known length.
func TestPartSizesOfUnknownLengthWithLittleMemory(t *testing.T) {
	for _, maxParts := range []int{1000, 10_000} {
		l := newTestPartSizes(t, Profile{MaxParts: maxParts}, 64*mib)
		if parts := fill(t, l, l.maxUpload()/8*7, -1); parts > maxParts {
			t.Errorf("%d parts, %d are allowed", parts, maxParts)
		}
		if parts := fill(t, l, gib, -1); maxParts == 10_000 && parts < 150 {
			t.Errorf("a GiB has only %d parts", parts)
		}
	}
}

// The part numbers suffice for parts of any size, and if numbers are skipped
// where that is allowed.
func TestPartSizesWithAnyParts(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		l := newTestPartSizes(t, Profile{MaxParts: 1000}, 6*gib)
		size := 1 + random.Int64N(l.maxUpload())
		number := 1
		for stored := int64(0); stored < size; number++ {
			if spare := l.numbersToSpare(number, stored, size); spare >= leastSpread {
				number += 1 + spread(stored, size, spare-1)
			}
			needed, err := l.minSize(number, stored, size)
			if err != nil {
				t.Fatalf("seed %d: at %d of %d bytes: %v", seed, stored, size, err)
			}
			stored += needed + random.Int64N(needed)
		}
		if number-1 > 1000 {
			t.Errorf("seed %d: the last part has number %d", seed, number-1)
		}
	}
}

func TestPartSizesRefuse(t *testing.T) {
	l := newTestPartSizes(t, Profile{}, 64*mib)
	if err := l.checkLength(10_000 * 64 * mib); err != nil {
		t.Errorf("the largest upload that fits: %v", err)
	}
	if err := l.checkLength(10_000*64*mib + 1); err == nil {
		t.Error("an upload is accepted whose parts do not fit into a quarter of the memory")
	}
	more, err := newPartSizes(Profile{}.withDefaults(), 0, 0, 1700*mib)
	if err != nil || more.checkLength(4*tib) != nil || more.maxUpload() >= 5*tib {
		t.Errorf("with 1.7 GiB the largest upload has %d bytes, error %v, want 4 TiB and more", more.maxUpload(), err)
	}
	if _, err := newPartSizes(Profile{}.withDefaults(), 0, 0, 19*mib); err == nil {
		t.Error("a memory is accepted that does not fit four parts")
	}
}
