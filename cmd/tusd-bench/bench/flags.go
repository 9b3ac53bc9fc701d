package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// measureFlags compares a server with further flags with two without them, on directories of
// the same uploads. What the flags let a server do by itself does not disturb the others.
func measureFlags(ctx context.Context, o options, place *workDir) (report Report, err error) {
	launches := []launch{
		{name: "with", command: append(o.command(), strings.Fields(o.with)...), works: true},
		{name: "without", command: o.command()},
		{name: "without'", command: o.command()},
	}
	var servers []*server
	for i, l := range launches {
		l.dir, l.verifyInDir = filepath.Join(place.dir, fmt.Sprintf("uploads-%d", i)), true
		if err := prefill(ctx, l.dir, o.prefill); err != nil {
			return report, fmt.Errorf("prefill: %w", err)
		}
		s, err := place.startIn(ctx, l)
		if err != nil {
			return report, err
		}
		servers = append(servers, s)
	}
	small, err := load.Parse("small", o.plan)
	if err != nil {
		return report, err
	}
	heads := load.HeadsOf("head", o.plan, fewUploads, spreadOver(o.prefill))
	for _, w := range []load.Workload{heads, small} {
		work := []load.Workload{w, w, w}
		results, err := measure(ctx, work, servers, o.pairs)
		if err != nil {
			return report, err
		}
		report.add(w.Name, servers, results)
	}
	return report, nil
}
