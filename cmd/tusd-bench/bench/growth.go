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

// site is a prefilled directory, and how to start a server on it.
type site struct {
	launch
	uploads int
}

// measureGrowth compares a server on a directory with many uploads with two on
// directories with few.
func measureGrowth(ctx context.Context, o options, place *workplace) (report Report, err error) {
	sites := []site{
		o.site(place, "many", o.prefill, fmt.Sprintf("%d uploads", o.prefill)),
		o.site(place, "few", fewUploads, fmt.Sprintf("%d uploads", fewUploads)),
		o.site(place, "few-again", fewUploads, fmt.Sprintf("%d uploads'", fewUploads)),
	}
	for _, s := range sites {
		if err := prefill(ctx, s.dir, s.uploads); err != nil {
			return report, fmt.Errorf("prefill: %w", err)
		}
	}
	if report.Startups, err = startups(ctx, place, sites); err != nil {
		return report, err
	}
	err = requestCosts(ctx, o, place, sites, &report)
	return report, err
}

// site is a site for n uploads. Its directory is made by prefill.
func (o options) site(place *workplace, folder string, n int, name string) site {
	return site{launch{name: name, command: o.command(), dir: filepath.Join(place.dir, folder), visit: true}, n}
}

// requestCosts compares what requests cost on each site.
func requestCosts(ctx context.Context, o options, place *workplace, sites []site, report *Report) error {
	small, err := load.Parse("small", o.plan)
	if err != nil {
		return err
	}
	var servers []*server
	var spread, random, created []load.Workload
	for _, s := range sites {
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

// startups measures on each site, in turns.
func startups(ctx context.Context, place *workplace, sites []site) ([]Startup, error) {
	times := make([][]float64, len(sites))
	for range starts {
		for i, s := range sites {
			took, err := startup(ctx, place, s)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], float64(took))
		}
	}
	results := make([]Startup, len(sites))
	for i, s := range sites {
		results[i] = Startup{s.name, s.uploads, time.Duration(stats.Median(times[i])), time.Duration(slices.Max(times[i]))}
	}
	return results, nil
}

// startup starts a server, asks it for an upload and stops it.
func startup(ctx context.Context, place *workplace, s site) (time.Duration, error) {
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
