package filestore

import (
	"io"
	"testing"
)

// A fast connection is read with the large buffer and a slow one with the small buffer,
// also if it was fast before.
func TestBufferFollowsTheConnection(t *testing.T) {
	s := openStore(t, None)
	up := createUpload(t, s, "a", 1<<30)
	reads := []int{smallBuffer, 100, largeBuffer, worthLarge, 10, 10, smallBuffer, 10, worthLarge - 1, 1}
	want := []int{smallBuffer, largeBuffer, largeBuffer, largeBuffer, largeBuffer, smallBuffer, smallBuffer,
		largeBuffer, largeBuffer, smallBuffer, smallBuffer}
	var got []int
	src := readFunc(func(p []byte) (int, error) {
		got = append(got, len(p))
		if len(got) > len(reads) {
			return 0, io.EOF
		}
		return reads[len(got)-1], nil
	})
	if _, err := up.WriteChunk(t.Context(), 0, src); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("buffers of %v, want %v", got, want)
		}
	}
}

// The number of large buffers is bounded. A connection that becomes slow or ends frees
// its buffer for others.
func TestLargeBuffersAreBounded(t *testing.T) {
	var all bufferPools
	taken := make([]readBuffer, 2*maxLarge)
	for i := range taken {
		taken[i] = all.acquire()
		taken[i].adapt(smallBuffer)
		if large := len(taken[i].space) == largeBuffer; large != (i < maxLarge) {
			t.Fatalf("connection %d has a buffer of %d bytes", i, len(taken[i].space))
		}
	}
	taken[0].adapt(worthLarge - 1)
	taken[0].adapt(worthLarge - 1)
	taken[1].release()
	for i := maxLarge; i < maxLarge+3; i++ {
		taken[i].adapt(smallBuffer)
		if large := len(taken[i].space) == largeBuffer; large != (i < maxLarge+2) {
			t.Errorf("connection %d then has a buffer of %d bytes", i, len(taken[i].space))
		}
	}
}
