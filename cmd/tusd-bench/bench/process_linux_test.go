package bench

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// used returns the CPU time of this process according to getrusage.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCPUTime reads the CPU time of this process like that of another.
func TestCPUTime(t *testing.T) {
	for limit := used(t) + 200*time.Millisecond; used(t) < limit; {
		runtime.Gosched()
	}
	before := used(t)
	got, err := cpuTime(os.Getpid())
	after := used(t)
	const tick = 50 * time.Millisecond // getrusage may lag behind
	if err != nil || got < before-tick || got > after+tick {
		t.Errorf("%v, %v; getrusage says %v to %v", got, err, before, after)
	}
	if _, err := cpuTime(1 << 25); err == nil {
		t.Error("a process that does not exist has a CPU time")
	}
}

func TestMemory(t *testing.T) {
	pid := os.Getpid()
	before, _, err := memory(pid)
	if err != nil {
		t.Fatal(err)
	}
	const more = 64 << 20
	block, err := syscall.Mmap(-1, 0, more, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < more; i += 4096 {
		block[i] = 1
	}
	during, _, _ := memory(pid)
	if err := syscall.Munmap(block); err != nil {
		t.Fatal(err)
	}
	after, peak, _ := memory(pid)
	const slack = 16 << 20 // memory of the test itself
	if during < before+more-slack || after > during-more+slack || peak < during-slack {
		t.Errorf("%d before, %d with %d more, then %d, at most %d", before, during, int64(more), after, peak)
	}
	if err := resetPeak(pid); err != nil {
		t.Fatal(err)
	}
	if _, reset, _ := memory(pid); reset > after+slack {
		t.Errorf("the peak is %d after it was reset at %d", reset, after)
	}
}
