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
	// heapFloor is a block that the garbage collector counts as live. The server
	// needs a heap of a few MiB, for which the collector would run several
	// hundred times a second under load; with the block it runs after some MiB
	// of garbage. The pages of the block are never touched and take no memory.
	heapFloor = 64 << 20
	// gcPercent is the GOGC that goes with the floor. It is low because a large
	// heap, the work of many clients, must not be doubled by garbage.
	gcPercent = 20
)

// setHeapFloor sets the floor until release is called. If the variable GOGC is set, it has
// precedence, as in every Go program.
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

// Memory is returned to the system when the work that needed it is over. The
// runtime would keep the garbage until the next collection, which comes with more
// work or after two minutes.
const (
	releaseInterval = 4 * time.Second
	quietAllocation = 4 << 20 // bytes; a server that allocates less in releaseInterval is idle
	releaseGrowth   = 16 << 20
	largeHeap       = heapFloor + 32<<20
)

// heapSample describes the heap at one time.
type heapSample struct {
	resident  int64 // bytes that the heap has got from the system
	allocated int64 // bytes since the start
	closed    int64 // connections since the start
}

// memoryRelease decides when memory is returned.
type memoryRelease struct {
	last heapSample
	left heapSample // after the last release
}

// due reports whether the server is idle, and has memory to return: the heap
// has grown, or connections that may have used it have ended.
func (m *memoryRelease) due(now heapSample) bool {
	quiet := now.allocated-m.last.allocated < quietAllocation
	m.last = now
	grown := now.resident >= m.left.resident+releaseGrowth
	ended := now.resident >= largeHeap && now.closed > m.left.closed
	return quiet && (grown || ended)
}

// releaseMemory returns memory to the system until ctx ends. closed returns how
// many connections have ended.
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
