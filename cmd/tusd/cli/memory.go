package cli

import "runtime"

// heapFloor is how much memory the collector takes for live before anything
// is. With a heap of a few MiB, which is all that this server needs, it would
// run several hundred times a second under load; like this it waits until
// about as much garbage has come together. Pages that nobody touches take no
// memory, so that what this costs is the garbage: heapFloor at the most.
const heapFloor = 8 << 20

// keepHeap holds the floor until release is called.
func keepHeap() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
