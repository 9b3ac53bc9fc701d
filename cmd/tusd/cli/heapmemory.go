package cli

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapFloor is how much memory the collector takes for live before anything
	// is. With a heap of a few MiB, which is all that this server needs, it would
	// run several hundred times a second under load; like this it waits until
	// some MiB of garbage have come together. Pages that are not touched take no
	// memory, so that what this costs is garbage.
	heapFloor = 64 << 20
	// gcPercent is how much garbage there may be for what is live, with the
	// floor. A large heap is the work of many clients: it is not to be doubled.
	gcPercent = 20
)

// setHeapFloor holds the floor until release is called. The variable GOGC counts as
// in every program.
func setHeapFloor() (release func()) {
	floor := make([]byte, heapFloor)
	if os.Getenv("GOGC") != "" {
		return func() { runtime.KeepAlive(floor) }
	}
	before := debug.SetGCPercent(gcPercent)
	return func() {
		debug.SetGCPercent(before)
		runtime.KeepAlive(floor)
	}
}

// Memory goes back to the system when the work that needed it is over. The
// runtime would keep what is garbage until the next collection, which comes with
// more work or after two minutes.
const (
	releaseInterval = 4 * time.Second
	quietAllocation = 4 << 20 // bytes that are allocated in that time: the server has nothing else to do
	releaseGrowth   = 16 << 20
	largeHeap       = heapFloor + 32<<20
)

// heapSample is what the heap is at a time.
type heapSample struct {
	resident  int64 // bytes that the heap has of the system
	allocated int64 // bytes since the start
	closed    int64 // connections since the start
}

// memoryRelease decides when memory goes back.
type memoryRelease struct {
	last heapSample
	left heapSample // when memory went back
}

// due reports whether there is little work, and something to give back: the heap
// has grown, or connections that may have used it have ended.
func (m *memoryRelease) due(now heapSample) bool {
	quiet := now.allocated-m.last.allocated < quietAllocation
	m.last = now
	grown := now.resident >= m.left.resident+releaseGrowth
	ended := now.resident >= largeHeap && now.closed > m.left.closed
	return quiet && (grown || ended)
}

// releaseMemory gives memory back until ctx ends. closed counts connections.
func releaseMemory(ctx context.Context, closed func() int64) {
	tick := time.NewTicker(releaseInterval)
	defer tick.Stop()
	m := memoryRelease{}
	m.left = sampleHeap(closed())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m.due(sampleHeap(closed())) {
				debug.FreeOSMemory()
				m.left = sampleHeap(closed())
				m.last = m.left
			}
		}
	}
}

func sampleHeap(closed int64) heapSample {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
	return heapSample{resident: value(0) + value(1) + value(2), allocated: value(3), closed: closed}
}
