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
	scaledPart   = 5 * mib / scale        // the smallest part
	scaledLarge  = 5 << 30 / scale        // the largest part
	scaledObject = int64(5) << 40 / scale // the largest object
)

// interruptions are ways in which every request of a client is cut off. Each
// returns the bytes of the next request if a part needs so many.
var interruptions = map[string]func(needed int64, random *rand.Rand) int64{
	"at a part":        func(needed int64, _ *rand.Rand) int64 { return needed },
	"just before":      func(needed int64, _ *rand.Rand) int64 { return max(needed-1, 1) },
	"just behind":      func(needed int64, _ *rand.Rand) int64 { return needed + 1 },
	"at the next byte": func(needed int64, r *rand.Rand) int64 { return 1 + r.Int64N(2)*(needed-1) },
	"anywhere":         func(needed int64, r *rand.Rand) int64 { return 1 + r.Int64N(2*needed) },
}

// limitedTo returns a simulation of one client and a service that allows few parts.
func limitedTo(t *testing.T, maxParts int, equal bool) *simulation {
	c := newSimulation(t, 4*scaledLarge, scaledPart)
	c.service.latency, c.service.maxParts = 0, maxParts
	c.store.PreferredPartSize, c.store.Profile.EqualParts = scaledPart, equal
	c.store.Profile.MaxParts, c.store.Profile.MaxPart, c.store.Profile.MaxObject = maxParts, scaledLarge, scaledObject
	c.open()
	return c
}

// The largest upload can be completed with 1000 parts, however its requests are
// cut off. With a deferred length it is smaller, as its first parts are small.
func TestInterruptedUploadsWithThousandParts(t *testing.T) {
	t.Parallel()
	const largest = 1000 * scaledLarge
	for name, k := range map[string]struct {
		size                  int64
		atomic, defers, equal bool
		cut                   []string
	}{
		"plain":           {size: largest, cut: slices.Collect(maps.Keys(interruptions))},
		"checksums":       {size: largest, atomic: true, cut: []string{"just before", "anywhere"}},
		"deferred length": {size: largest * 7 / 8, defers: true, cut: []string{"at a part", "just behind"}},
		"equal parts":     {size: largest, equal: true, cut: []string{"just before", "anywhere"}},
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

// The same with 10 000 parts. Each request has many of them, because a record
// with so many parts takes long to write.
func TestInterruptedUploadsWithTenThousandParts(t *testing.T) {
	require.WithoutRace(t)
	t.Parallel()
	for name, size := range map[string]int64{"length": scaledObject, "deferred length": scaledObject / 2} {
		t.Run(name, func(t *testing.T) {
			c := limitedTo(t, 10_000, false)
			c.interrupt(size, size < scaledObject, false, func(needed int64, r *rand.Rand) int64 { return 100*needed + r.Int64N(needed) })
		})
	}
}

// Parts of equal size limit a length that is declared after the first part.
func TestDeclaredLengthWithEqualParts(t *testing.T) {
	const maxParts = 10
	c := limitedTo(t, maxParts, true)
	up, _ := c.createWithInfo(tusd.FileInfo{ID: "upload", SizeIsDeferred: true})
	if err := c.store.DeclareLength(t.Context(), up, maxParts*scaledPart+1); !errors.Is(err, tusd.ErrMaxSizeExceeded) {
		t.Errorf("a length that does not fit: %v", err)
	}
	if err := c.store.DeclareLength(t.Context(), up, maxParts*scaledPart); err != nil {
		t.Errorf("a length that fits: %v", err)
	}
}

// interrupt stores an upload of blank bytes. Every request is cut off.
func (c *simulation) interrupt(size int64, defers, atomic bool, next func(needed int64, random *rand.Rand) int64) {
	c.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	const id = "large"
	info := tusd.FileInfo{ID: id, Size: size}
	if defers {
		info = tusd.FileInfo{ID: id, SizeIsDeferred: true}
	}
	up, lease := c.createWithInfo(info)
	requests := 0
	for at := int64(0); at < size; requests++ {
		up, lease = c.nextRequest(lease, id)
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

// needed returns the least size of the next part. It is approximate if the
// length is deferred.
func (c *simulation) needed(size int64, defers bool) int64 {
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

// parts returns the number of parts that are stored.
func (c *simulation) parts() int {
	for _, parts := range c.service.multiparts {
		return len(parts) - 1
	}
	return 0
}

// An upload that needs all the parts that a service allows is stored correctly
// in many small requests.
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

// A length whose parts do not fit into the memory is refused at creation. OPTIONS
// announces the largest length.
func TestTooLongForMemory(t *testing.T) {
	const largest = 10 * testMemory / 4
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Profile.MaxParts = 10
	n := startNode(t, store, &tusd.LocalLocker{})
	options := n.request(http.MethodOptions, "/files/", nil)
	if got := options.Header.Get("Tus-Max-Size"); got != fmt.Sprint(largest) {
		t.Errorf("Tus-Max-Size is %q, want %d", got, largest)
	}
	if got := options.Header.Get("Upload-Limit"); !strings.Contains(got, fmt.Sprintf("max-size=%d", largest)) {
		t.Errorf("Upload-Limit is %q, want max-size=%d", got, largest)
	}
	n.create(largest)
	n.want(http.StatusRequestEntityTooLarge, n.request(http.MethodPost, "/files/", nil, "Upload-Length", fmt.Sprint(largest+1)))
	if objects := server.Objects(); len(objects) != 1 {
		t.Errorf("%d objects are there, want the record of the first upload", len(objects))
	}
}
