package bench

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// sample returns a sample of ten operations.
func sample(cpu, elapsed time.Duration) load.Sample {
	return load.Sample{
		Operations: 10, Bytes: 1 << 20, Elapsed: elapsed, P50: elapsed / 20, P99: elapsed / 10,
		Usage: &load.Usage{CPU: cpu, Resident: int64(cpu), Peak: int64(2 * cpu)},
	}
}

// In one round the machine is ten times slower for both servers. No ratio shows it.
func TestRatiosAreOfPairs(t *testing.T) {
	a := series{sample(20, 100), sample(300, 3000), sample(40, 100)}
	b := series{sample(10, 200), sample(100, 2000), sample(10, 400)}
	r := compare("w", [2]string{"a", "b"}, a, b)
	if r.CPU.Median != 3 || r.CPU.Low != 2 || r.CPU.High != 4 {
		t.Errorf("CPU %+v, want 3 [2, 4]", *r.CPU)
	}
	if r.Rate.Median != 2 || math.Abs(r.Rate.Low-2.0/3) > 1e-9 || r.Rate.High != 4 || r.P99.Median != 0.5 {
		t.Errorf("rate %+v, p99 %+v", r.Rate, r.P99)
	}
	b[1].Usage.CPU = 0
	if r := compare("w", [2]string{"a", "b"}, a, b); r.CPU != nil {
		t.Errorf("CPU %+v beside a server whose clock has not moved", *r.CPU)
	}
	b[0].Usage = nil
	if r := compare("w", [2]string{"a", "b"}, a, b); r.CPU != nil {
		t.Errorf("CPU %+v of a server whose process is unknown", *r.CPU)
	}
}

func TestSummary(t *testing.T) {
	second := time.Second
	row := summarise("w", "s", series{sample(second, second), sample(3*second, 4*second), sample(2*second, 2*second)})
	want := Row{Workload: "w", Server: "s", Operations: 10, PerSecond: 5, MiBPerSec: 0.5, P50: second / 10, P99: second / 5}
	cpu, memory := row.CPU, row.Memory
	row.CPU, row.Memory = nil, nil
	if row != want {
		t.Errorf("%+v, want %+v", row, want)
	}
	if *cpu != (CPU{PerOperation: second / 5, PerGiB: 2048 * second}) || *memory != (Memory{After: int64(2 * second), Peak: int64(6 * second)}) {
		t.Errorf("%+v, %+v", *cpu, *memory)
	}
}

// Every round measures each server once, and begins with the next server.
func TestOrderOfServers(t *testing.T) {
	var mu sync.Mutex
	var order strings.Builder
	var servers []*server
	for _, name := range []string{"a", "b", "c"} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			io.WriteString(&order, name)
			mu.Unlock()
			w.Header().Set("Upload-Offset", "1")
			w.Header().Set("Upload-Length", "2")
		}))
		defer web.Close()
		target, err := load.NewTarget(web.URL+"/", "")
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, &server{name: name, target: target})
	}
	heads := load.HeadsOf("head", load.Plan{Clients: 1, Requests: 1}, 1, func(t *load.Target, _ int) load.Upload {
		return t.Existing("x", 0, 1, 2)
	})
	results, err := measure(t.Context(), []load.Workload{heads, heads, heads}, servers, 3)
	if err != nil {
		t.Fatal(err)
	}
	const times = "aaaaabbbbbccccc" + "bbbbbcccccaaaaa" + "cccccaaaaabbbbb" + "aaaaabbbbbccccc"
	if order.String() != times {
		t.Errorf("order %s, want %s", order.String(), times)
	}
	for i, s := range results {
		if len(s) != 3 {
			t.Errorf("%s has %d samples, want 3: the first round is not counted", servers[i].name, len(s))
		}
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "-", 999: "999ns", 123456: "123µs", 1234567: "1.23ms", 98765 * time.Millisecond: "1m38.8s",
	} {
		if got := brief(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
