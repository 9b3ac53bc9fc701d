//go:build linux

package hostiletest

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// usage has the resources that a daemon uses.
type usage struct {
	resident    int64 // bytes
	heap        int64 // bytes that are reachable
	goroutines  int
	descriptors map[string]int // by their kind
	created     int64          // uploads since the start
}

func (f usage) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.2f MiB of live heap, %d goroutines, descriptors %v",
		mib(f.resident), mib(f.heap), f.goroutines, f.descriptors)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

var (
	heapAlloc  = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	created    = regexp.MustCompile(`(?m)^tusd_uploads_created (\d+)`)
	goroutines = regexp.MustCompile(`^goroutine profile: total (\d+)`)
)

// measure reads the daemon's resources from /proc, its profiles and its metrics, after
// garbage collections.
func (to *target) measure() (f usage, err error) {
	if to.s3 != nil {
		to.s3.CloseClientConnections() // the daemon's idle connections
	}
	for range 3 { // pools live for two collections
		if f.heap, err = to.profile("heap?gc=1&debug=1", heapAlloc); err != nil {
			return f, err
		}
	}
	if f.created, err = to.number("/metrics", created); err != nil {
		return f, err
	}
	n, err := to.profile("goroutine?debug=1", goroutines)
	if err != nil {
		return f, err
	}
	f.goroutines = int(n)
	if f.descriptors, err = to.descriptors(); err != nil {
		return f, err
	}
	f.resident, err = to.resident()
	return f, err
}

func (to *target) profile(name string, number *regexp.Regexp) (int64, error) {
	return to.number("/debug/pprof/"+name, number)
}

// number returns the first number in the content of path that the pattern matches.
func (to *target) number(path string, number *regexp.Regexp) (int64, error) {
	answer, err := to.monitor.Get(to.url(path))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	found := number.FindSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("%s: %s without %v", path, answer.Status, number)
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// resident returns the resident memory of the process.
func (to *target) resident() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", to.PID()))
	if err != nil {
		return 0, err
	}
	var all, resident int64
	if _, err := fmt.Sscan(string(content), &all, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}

// descriptors counts the open descriptors by kind: sockets, pipes, files and anonymous
// inodes (pidfd, epoll).
func (to *target) descriptors() (map[string]int, error) {
	folder := fmt.Sprintf("/proc/%d/fd", to.PID())
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	kinds := make(map[string]int)
	for _, entry := range entries {
		leads, err := os.Readlink(folder + "/" + entry.Name())
		if err != nil {
			continue // closed meanwhile
		}
		kind, _, found := strings.Cut(leads, ":[")
		if !found {
			kind = "file"
			if strings.HasPrefix(leads, "anon_inode:") {
				kind = leads
			}
		}
		kinds[kind]++
	}
	return kinds, nil
}

// watch samples the resident memory until stop is closed, and returns the maximum.
func (to *target) watch(stop <-chan struct{}) <-chan int64 {
	largest := make(chan int64, 1)
	ticks := time.NewTicker(20 * time.Millisecond)
	go func() {
		defer ticks.Stop()
		var most int64
		for {
			if now, err := to.resident(); err == nil {
				most = max(most, now)
			}
			if most > residentKillLimit {
				to.Kill() // before the system kills another process
			}
			select {
			case <-ticks.C:
			case <-stop:
				largest <- max(most, to.peak())
				return
			}
		}
	}()
	return largest
}

// resetPeak resets the system's maximum of the resident memory.
func (to *target) resetPeak() bool {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", to.PID()), []byte("5"), 0) == nil
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak returns the system's maximum since resetPeak.
func (to *target) peak() int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", to.PID()))
	found := highWater.FindSubmatch(content)
	if err != nil || found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits
	return n << 10
}

// Bytes in caches for uploads that are not in use: for each one, and for all.
const (
	cachedPerUpload = 2 << 10
	cacheBudget     = 18 << 20
)

const liveHeap = "live heap"

// excess returns the resources of which now uses more than f. A tolerance of 5 % and a
// constant allows for the noise of an idle daemon; for the heap it is a constant only.
// Uploads that were created meanwhile may be in caches, which have budgets in bytes.
func (f usage) excess(now usage) (excess []string) {
	const heapNoise, goroutineNoise, descriptorNoise = 1 << 20, 3, 2
	cached := min((now.created-f.created)*cachedPerUpload, cacheBudget)
	if now.heap > f.heap+heapNoise+cached {
		excess = append(excess, liveHeap)
	}
	if now.goroutines > f.goroutines+f.goroutines/20+goroutineNoise {
		excess = append(excess, "goroutines")
	}
	for kind, n := range now.descriptors {
		if was := f.descriptors[kind]; n > was+was/20+descriptorNoise {
			excess = append(excess, "descriptors: "+kind)
		}
	}
	return excess
}
