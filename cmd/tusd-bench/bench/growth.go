package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/cmd/tusd-bench/stats"
)

const (
	// fewUploads is the number of uploads in the directory for comparison.
	fewUploads = 100
	// starts is the number of measured start-ups of each directory.
	starts = 5
)

// Startup is the time from the start of a server to the answer to its
// first request, the HEAD of an upload.
type Startup struct {
	Server  string
	Uploads int
	Median  time.Duration
	Worst   time.Duration
}

// prefilledDir is a prefilled directory, and the server that is started on it.
type prefilledDir struct {
	launch
	uploads int
}

// measureGrowth compares a server on a directory with many uploads with two on
// directories with few.
func measureGrowth(ctx context.Context, o options, place *workDir) (report Report, err error) {
	dirs := []prefilledDir{
		o.prefilledDir(place, "many", o.prefill, fmt.Sprintf("%d uploads", o.prefill)),
		o.prefilledDir(place, "few", fewUploads, fmt.Sprintf("%d uploads", fewUploads)),
		o.prefilledDir(place, "few-again", fewUploads, fmt.Sprintf("%d uploads'", fewUploads)),
	}
	for _, s := range dirs {
		if err := prefill(ctx, s.dir, s.uploads); err != nil {
			return report, fmt.Errorf("prefill: %w", err)
		}
	}
	if report.Startups, err = startups(ctx, place, dirs); err != nil {
		return report, err
	}
	err = requestCosts(ctx, o, place, dirs, &report)
	return report, err
}

// prefilledDir describes a directory of n uploads, which prefill creates.
func (o options) prefilledDir(place *workDir, folder string, n int, name string) prefilledDir {
	return prefilledDir{launch{name: name, command: o.command(), dir: filepath.Join(place.dir, folder), verifyInDir: true}, n}
}

// requestCosts compares the cost of requests on each directory.
func requestCosts(ctx context.Context, o options, place *workDir, dirs []prefilledDir, report *Report) error {
	small, err := load.Parse("small", o.plan)
	if err != nil {
		return err
	}
	var servers []*server
	var spread, random, created []load.Workload
	for _, s := range dirs {
		server, err := place.startIn(ctx, s.launch)
		if err != nil {
			return err
		}
		servers = append(servers, server)
		spread = append(spread, load.HeadsOf("head", o.plan, fewUploads, spreadOver(s.uploads)))
		random = append(random, load.HeadsOf("head-any", o.plan, s.uploads, prefilled))
		created = append(created, small)
	}
	for _, work := range [][]load.Workload{spread, random, created} {
		results, err := measure(ctx, work, servers, o.pairs)
		if err != nil {
			return err
		}
		report.add(work[0].Name, servers, results)
	}
	return nil
}

// spreadOver picks few of n uploads, from the first to the last.
func spreadOver(n int) func(*load.Target, int) load.Upload {
	return func(t *load.Target, i int) load.Upload { return prefilled(t, i*(n/fewUploads)) }
}

// startups measures start-ups, alternating between the directories.
func startups(ctx context.Context, place *workDir, dirs []prefilledDir) ([]Startup, error) {
	times := make([][]float64, len(dirs))
	for range starts {
		for i, s := range dirs {
			took, err := startup(ctx, place, s)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], float64(took))
		}
	}
	results := make([]Startup, len(dirs))
	for i, s := range dirs {
		results[i] = Startup{s.name, s.uploads, time.Duration(stats.Median(times[i])), time.Duration(slices.Max(times[i]))}
	}
	return results, nil
}

// startup starts a server, sends a HEAD of an upload and stops it.
func startup(ctx context.Context, place *workDir, s prefilledDir) (time.Duration, error) {
	began := time.Now()
	server, err := place.startIn(ctx, s.launch)
	if err != nil {
		return 0, err
	}
	if err := server.target.Look(prefilled(server.target, 0)); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, server.stop()
}
