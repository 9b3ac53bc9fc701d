package s3store_test

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
)

// An upload that takes all the parts that a service allows is cut again and
// again, and still comes to its end.
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

// A length that the memory has no parts for is refused at once.
func TestTooLongForMemory(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Profile.MaxParts = 10
	n := startNode(t, store, &tusd.LocalLocker{})
	n.create(10 * testMemory / 4)
	answer := n.request("POST", "/files/", nil, "Upload-Length", "41943041")
	n.want(413, answer)
	if objects := server.Objects(); len(objects) != 1 {
		t.Errorf("%d objects are there, want the record of the first upload", len(objects))
	}
}
