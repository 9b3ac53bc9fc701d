package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/cmd/tusd-bench/stats"
)

const (
	// fewUploads is what growth is compared with.
	fewUploads = 100
	// starts is how often start-up is measured for each directory.
	starts = 5
)

// Startup is how long a server takes from being started to the answer to its
// first request, the HEAD of an upload.
type Startup struct {
	Server  string
	Uploads int
	Median  time.Duration
	Worst   time.Duration
}

// measureGrowth compares a server on a directory with many uploads with two on
// directories with few.
func measureGrowth(ctx context.Context, o options, place *workplace) (Report, error) {
	var report Report
	launches, err := prefillAll(ctx, o, place)
	if err != nil {
		return report, err
	}
	counts := []int{o.prefill, fewUploads, fewUploads}
	times, err := startups(ctx, place, launches)
	if err != nil {
		return report, err
	}
	for i, l := range launches {
		worst := stats.MedianOf(times[i]).High // of five values the range
		report.Startups = append(report.Startups, Startup{l.name, counts[i], time.Duration(stats.Median(times[i])), time.Duration(worst)})
	}
	servers, err := startAll(ctx, place, launches)
	if err != nil {
		return report, err
	}
	small, err := load.Parse("small", o.plan)
	if err != nil {
		return report, err
	}
	for _, work := range [][]load.Workload{
		each(counts, func(n int) load.Workload { return load.HeadsOf("head", o.plan, fewUploads, spread(n)) }),
		each(counts, func(n int) load.Workload { return load.HeadsOf("head-any", o.plan, n, prefilled) }),
		{small, small, small},
	} {
		results, err := measure(ctx, work, servers, o.pairs)
		if err != nil {
			return report, err
		}
		report.add(work[0].Name, servers, results)
	}
	return report, nil
}

func each[T, U any](of []T, f func(T) U) []U {
	result := make([]U, len(of))
	for i, v := range of {
		result[i] = f(v)
	}
	return result
}

// spread picks few of n uploads, from the first to the last.
func spread(n int) func(*load.Target, int) load.Upload {
	return func(t *load.Target, i int) load.Upload { return prefilled(t, i*(n/fewUploads)) }
}

// prefillAll makes the directories.
func prefillAll(ctx context.Context, o options, place *workplace) (launches []launch, err error) {
	for i, n := range []int{o.prefill, fewUploads, fewUploads} {
		l := launch{name: fmt.Sprintf("%d uploads", n), command: o.command(), dir: filepath.Join(place.dir, fmt.Sprint("prefilled", i)), visit: true}
		if i == 2 {
			l.name += "'"
		}
		if err := os.Mkdir(l.dir, 0o777); err != nil {
			return nil, err
		}
		if err := prefill(ctx, l.dir, n); err != nil {
			return nil, fmt.Errorf("prefill: %w", err)
		}
		launches = append(launches, l)
	}
	return launches, nil
}

// startups starts and stops each server, in turns, and returns how long they
// took to answer.
func startups(ctx context.Context, place *workplace, launches []launch) (times [][]float64, err error) {
	times = make([][]float64, len(launches))
	for range starts {
		for i, l := range launches {
			began := time.Now()
			s, err := place.startIn(ctx, l)
			if err != nil {
				return nil, err
			}
			if err := s.target.Look(prefilled(s.target, 0)); err != nil {
				return nil, err
			}
			times[i] = append(times[i], float64(time.Since(began)))
			if err := s.stop(); err != nil {
				return nil, err
			}
		}
	}
	return times, nil
}

func startAll(ctx context.Context, place *workplace, launches []launch) (servers []*server, err error) {
	for _, l := range launches {
		s, err := place.startIn(ctx, l)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}
