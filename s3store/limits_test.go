package s3store_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// The limits of AWS, scaled down so that an upload of 5 TiB has 1.25 GiB.
const (
	scale        = 4096
	scaledPart   = 5 * mib / scale        // the least
	scaledLarge  = 5 << 30 / scale        // the largest part
	scaledObject = int64(5) << 40 / scale // the largest object
)

// interruptions are how clients are cut off, over and over: how many bytes each
// request brings if a part needs so many.
var interruptions = map[string]func(needed int64, random *rand.Rand) int64{
	"at a part":        func(needed int64, _ *rand.Rand) int64 { return needed },
	"just before":      func(needed int64, _ *rand.Rand) int64 { return max(needed-1, 1) },
	"just behind":      func(needed int64, _ *rand.Rand) int64 { return needed + 1 },
	"at the next byte": func(needed int64, r *rand.Rand) int64 { return 1 + r.Int64N(2)*(needed-1) },
	"anywhere":         func(needed int64, r *rand.Rand) int64 { return 1 + r.Int64N(2*needed) },
}

// limitedTo is a crowd of one, over a service that allows few parts.
func limitedTo(t *testing.T, maxParts int, equal bool) *crowd {
	c := newCrowd(t, 4*scaledLarge, scaledPart)
	c.service.latency, c.service.maxParts = 0, maxParts
	c.store.PreferredPartSize, c.store.Profile.EqualParts = scaledPart, equal
	c.store.Profile.MaxParts, c.store.Profile.MaxPart, c.store.Profile.MaxObject = maxParts, scaledLarge, scaledObject
	c.open()
	return c
}

// However clients are cut off, the largest upload comes to its end with 1000
// parts. One whose length is not known may have less: a part cannot be as
// large as the largest from the beginning.
func TestInterruptedUploadsWithThousandParts(t *testing.T) {
	t.Parallel()
	const largest = 1000 * scaledLarge
	for name, k := range map[string]struct {
		size                  int64
		atomic, defers, equal bool
		cut                   []string
	}{
		"plain":            {size: largest, cut: slices.Collect(maps.Keys(interruptions))},
		"checksums":        {size: largest, atomic: true, cut: []string{"just before", "anywhere"}},
		"length not known": {size: largest * 7 / 8, defers: true, cut: []string{"at a part", "just behind"}},
		"equal parts":      {size: largest, equal: true, cut: []string{"just before", "anywhere"}},
	} {
		for _, cut := range k.cut {
			t.Run(name+"/"+cut, func(t *testing.T) {
				if cut != "anywhere" {
					require.Long(t)
				}
				c := limitedTo(t, 1000, k.equal)
				c.interrupt(k.size, k.defers, k.atomic, interruptions[cut])
			})
		}
	}
}

// The same with 10 000 parts. A request brings many of them, for the record of
// so many takes a while to write.
func TestInterruptedUploadsWithTenThousandParts(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"length": scaledObject, "length not known": scaledObject / 2} {
		t.Run(name, func(t *testing.T) {
			c := limitedTo(t, 10_000, false)
			c.interrupt(size, size < scaledObject, false, func(needed int64, r *rand.Rand) int64 { return 100*needed + r.Int64N(needed) })
		})
	}
}

// Parts of equal size cannot grow with a length that is told late.
func TestLateLengthForEqualParts(t *testing.T) {
	const maxParts = 10
	c := limitedTo(t, maxParts, true)
	up, _ := c.createLike(tusd.FileInfo{ID: "upload", SizeIsDeferred: true})
	if err := c.store.DeclareLength(t.Context(), up, maxParts*scaledPart+1); !errors.Is(err, tusd.ErrMaxSizeExceeded) {
		t.Errorf("a length that does not fit: %v", err)
	}
	if err := c.store.DeclareLength(t.Context(), up, maxParts*scaledPart); err != nil {
		t.Errorf("a length that fits: %v", err)
	}
}

// interrupt stores an upload of blank bytes in requests that are all cut off.
func (c *crowd) interrupt(size int64, defers, atomic bool, next func(needed int64, random *rand.Rand) int64) {
	c.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	const id = "large"
	info := tusd.FileInfo{ID: id, Size: size}
	if defers {
		info = tusd.FileInfo{ID: id, SizeIsDeferred: true}
	}
	up, lease := c.createLike(info)
	requests := 0
	for at := int64(0); at < size; requests++ {
		up, lease = c.again(lease, id)
		to := min(size, at+next(c.needed(size, defers), random))
		if n, err := c.writer(up, atomic)(at, bodyOf(id, at, to)); err != nil || n != to-at {
			c.Fatalf("%d of %d bytes at %d, %d requests: %v", n, to-at, at, requests, err)
		}
		at = to
	}
	parts := c.parts()
	if defers {
		if err := c.store.DeclareLength(c.Context(), up, size); err != nil {
			c.Fatal(err)
		}
	}
	if err := up.FinishUpload(c.Context()); err != nil {
		c.Fatal(err)
	}
	c.wantContent(id, size)
	c.wantNothingLeft()
	c.Logf("%d requests, %d parts", requests, parts)
}

// needed is the least size of the next part, or near it if the length is not
// known.
func (c *crowd) needed(size int64, defers bool) int64 {
	var stored int64
	for _, parts := range c.service.multiparts {
		for _, p := range parts {
			stored += p.size
		}
	}
	if defers {
		return min(scaledPart+stored/20, scaledLarge)
	}
	left := int64(c.service.maxParts - c.parts())
	return max(scaledPart, (size-stored+left-1)/max(left, 1))
}

// parts counts those that are stored.
func (c *crowd) parts() int {
	for _, parts := range c.service.multiparts {
		return len(parts) - 1
	}
	return 0
}

// An upload that takes all the parts that a service allows is cut again and
// again, and its bytes are right in the end.
func TestFewPartsAllowed(t *testing.T) {
	const maxParts = 40
	server := s3server.Start(t, s3server.Options{Quirks: s3server.Quirks{MinPart: testMinPart, MaxParts: maxParts}})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Profile.MaxParts = maxParts
	n := startNode(t, store, &tusd.LocalLocker{})
	const size = maxParts * 3 * testMinPart
	path := n.create(size)
	for at := int64(0); at < size; { // each request is just large enough for the smallest part
		to := min(size, at+testMinPart)
		n.patch(path, at, to)
		at = to
	}
	n.wantContent(path, size)
}

// A length that the memory has no parts for is refused at once, and clients are
// told before which one is not.
func TestTooLongForMemory(t *testing.T) {
	const largest = 10 * testMemory / 4
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Profile.MaxParts = 10
	n := startNode(t, store, &tusd.LocalLocker{})
	options := n.request(http.MethodOptions, "/files/", nil)
	if told := options.Header.Get("Tus-Max-Size"); told != fmt.Sprint(largest) {
		t.Errorf("Tus-Max-Size is %q, want %d", told, largest)
	}
	if told := options.Header.Get("Upload-Limit"); !strings.Contains(told, fmt.Sprintf("max-size=%d", largest)) {
		t.Errorf("Upload-Limit is %q, want max-size=%d", told, largest)
	}
	n.create(largest)
	n.want(http.StatusRequestEntityTooLarge, n.request(http.MethodPost, "/files/", nil, "Upload-Length", fmt.Sprint(largest+1)))
	if objects := server.Objects(); len(objects) != 1 {
		t.Errorf("%d objects are there, want the record of the first upload", len(objects))
	}
}
