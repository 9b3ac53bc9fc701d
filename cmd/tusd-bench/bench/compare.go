package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/cmd/tusd-bench/stats"
)

// series are the samples of one server, one for each round.
type series []load.Sample

// measure runs the workload of each server once per round, so that a slow phase of the
// machine affects all of them. Each round begins with another server. The results are
// in the order of the servers. A first round for warm-up is not counted.
func measure(ctx context.Context, work []load.Workload, servers []*server, rounds int) ([]series, error) {
	results := make([]series, len(servers))
	for round := range rounds + 1 {
		for i := range servers {
			k := (round + i) % len(servers)
			sample, err := runAlone(ctx, servers, k, work[k])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", servers[k].name, err)
			}
			if round > 0 {
				results[k] = append(results[k], sample)
			}
		}
	}
	return results, nil
}

// runAlone runs a workload on one server. Servers with work of their own do not run meanwhile.
func runAlone(ctx context.Context, servers []*server, k int, work load.Workload) (load.Sample, error) {
	for i, s := range servers {
		if i == k || !s.works {
			continue
		}
		if err := pause(s.cmd.Process); err != nil {
			return load.Sample{}, err
		}
		defer resume(s.cmd.Process)
	}
	return load.Run(ctx, servers[k].target, work, meter(servers[k].pid))
}

// Row is the result of one server with one workload: medians over the rounds.
type Row struct {
	Workload   string
	Server     string
	Operations int     // of a round
	PerSecond  float64 // operations
	MiBPerSec  float64 // of content; 0: there is none
	P50, P99   time.Duration
	CPU        *CPU    // nil: not known
	Memory     *Memory // nil: not known
}

// CPU is the user and system time of a server.
type CPU struct {
	PerOperation time.Duration
	PerGiB       time.Duration // 0: no content
}

// Memory is a server's resident memory in bytes.
type Memory struct {
	After int64 // the median
	Peak  int64 // the highest of all rounds
}

// summarise returns the row of a series, which is not empty.
func summarise(work, server string, s series) Row {
	row := Row{
		Workload:   work,
		Server:     server,
		Operations: s[0].Operations,
		PerSecond:  s.median(perSecond),
		MiBPerSec:  s.median(func(x load.Sample) float64 { return float64(x.Bytes) / (1 << 20) / x.Elapsed.Seconds() }),
		P50:        time.Duration(s.median(func(x load.Sample) float64 { return float64(x.P50) })),
		P99:        time.Duration(s.median(func(x load.Sample) float64 { return float64(x.P99) })),
	}
	if s[0].Usage == nil {
		return row
	}
	row.CPU = &CPU{PerOperation: time.Duration(s.median(cpuPerOperation))}
	if s[0].Bytes > 0 {
		row.CPU.PerGiB = time.Duration(s.median(func(x load.Sample) float64 {
			return float64(x.Usage.CPU) / float64(x.Bytes) * (1 << 30)
		}))
	}
	row.Memory = &Memory{After: int64(s.median(func(x load.Sample) float64 { return float64(x.Usage.Resident) }))}
	for _, x := range s {
		row.Memory.Peak = max(row.Memory.Peak, x.Usage.Peak)
	}
	return row
}

func perSecond(x load.Sample) float64       { return float64(x.Operations) / x.Elapsed.Seconds() }
func cpuPerOperation(x load.Sample) float64 { return float64(x.Usage.CPU) / float64(x.Operations) }
func p99(x load.Sample) float64             { return float64(x.P99) }

func (s series) median(of func(load.Sample) float64) float64 {
	values := make([]float64, len(s))
	for i, x := range s {
		values[i] = of(x)
	}
	return stats.Median(values)
}

// Ratio compares two servers with one workload: each field is the median of
// the ratios of all pairs, the first server's number by the second's in the
// same round.
type Ratio struct {
	Workload string
	Servers  [2]string
	Pairs    int
	CPU      *stats.Estimate // per operation; nil: not known, or too short to be measured
	Rate     stats.Estimate  // operations per second
	P99      stats.Estimate
}

func compare(work string, names [2]string, a, b series) Ratio {
	r := Ratio{Workload: work, Servers: names, Pairs: len(a), Rate: ratios(a, b, perSecond), P99: ratios(a, b, p99)}
	if a[0].Usage != nil && b[0].Usage != nil && b.usesCPU() {
		cpu := ratios(a, b, cpuPerOperation)
		r.CPU = &cpu
	}
	return r
}

// usesCPU reports whether the server's clock has moved in every round. A machine that
// shares its processors may count no time for a very short round.
func (s series) usesCPU() bool {
	return !slices.ContainsFunc(s, func(x load.Sample) bool { return x.Usage.CPU == 0 })
}

func ratios(a, b series, of func(load.Sample) float64) stats.Estimate {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = of(a[i]) / of(b[i])
	}
	return stats.MedianOf(values)
}
