package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// SlowRow is the resident memory of a server with slow connections, in bytes.
type SlowRow struct {
	Server        string
	Connections   int
	Before        int64 // when the uploads were made, without connections
	After         int64
	Peak          int64
	PerConnection int64 // After beyond Before
}

// measureSlow runs slow connections once on each server. It starts the servers that are
// not running.
func measureSlow(ctx context.Context, o options, place *workDir) (rows []SlowRow, err error) {
	servers, err := o.servers(ctx, place)
	if err != nil {
		return nil, err
	}
	if len(servers) > 1 {
		servers = servers[:len(servers)-1] // the last is only there for pairs
	}
	for _, s := range servers {
		row, err := slowRow(ctx, o.slow, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, row)
	}
	return rows, clearForeign(ctx, servers)
}

func slowRow(ctx context.Context, plan load.SlowPlan, s *server) (SlowRow, error) {
	if s.pid == 0 {
		return SlowRow{}, errors.New("the workload slow measures memory: it needs -pid")
	}
	sample, err := load.Slow(ctx, s.target, plan, func() (int64, int64, error) {
		resident, peak, err := memory(s.pid)
		return resident, peak, errors.Join(err, resetPeak(s.pid))
	})
	return SlowRow{
		Server: s.name, Connections: plan.Connections, Before: sample.Before, After: sample.After, Peak: sample.Peak,
		PerConnection: (sample.After - sample.Before) / int64(plan.Connections),
	}, err
}
