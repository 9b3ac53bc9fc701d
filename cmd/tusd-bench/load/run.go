// Package load drives a server of tus 1.0 and verifies what it keeps.
package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Usage is what a server took while it worked.
type Usage struct {
	CPU      time.Duration // user and system time
	Resident int64         // memory afterwards, in bytes
	Peak     int64         // memory at the most, in bytes
}

// Meter looks at the process of a server.
type Meter interface {
	// Begin is called before the work.
	Begin() error
	// End is called after it. nil: nothing is known about the process.
	End() (*Usage, error)
}

// Sample is what a run has shown.
type Sample struct {
	Operations int
	Bytes      int64 // uploaded
	Elapsed    time.Duration
	P50, P99   time.Duration // of the latency of an operation
	Usage      *Usage        // nil: not known
}

// Run drives t with w once and verifies the uploads. Only the work itself is
// measured. Big uploads are removed; those of a workload with many small ones
// stay until Target.Clear, because a file system may be slow for minutes after
// many removals: ext4 passes over every inode that was freed lately, so that a
// round would measure how much the one before has removed.
func Run(ctx context.Context, t *Target, w Workload, meter Meter) (Sample, error) {
	r := &run{target: t, workload: w, uploads: make([]Upload, w.uploads())}
	defer r.close()
	if err := r.connect(); err != nil {
		return Sample{}, err
	}
	if err := r.each(ctx, w.prepared, w.prepare); err != nil {
		return Sample{}, fmt.Errorf("prepare %s: %w", w.Name, err)
	}
	sample, err := r.measure(ctx, meter)
	if err != nil {
		return sample, fmt.Errorf("%s: %w", w.Name, err)
	}
	if err := r.settle(ctx); err != nil {
		return sample, fmt.Errorf("after %s: %w", w.Name, err)
	}
	return sample, nil
}

// run is a run under way.
type run struct {
	target   *Target
	workload Workload
	uploads  []Upload
	clients  []*client
}

// client is one of those that work at the same time. Uploads are shared: each
// is worked on by one client at a time.
type client struct {
	*Conn
	number  int // from 0
	target  *Target
	uploads []Upload
	began   time.Time       // when the running operation began
	laps    []time.Duration // how long operations took
}

// lap notes that an operation has ended and the next one begins.
func (c *client) lap() {
	now := time.Now()
	c.laps = append(c.laps, now.Sub(c.began))
	c.began = now
}

func (r *run) connect() error {
	for i := range r.workload.clients {
		conn, err := dial(r.target.address, pieceSize)
		if err != nil {
			return err
		}
		r.clients = append(r.clients, &client{
			Conn: conn, number: i, target: r.target, uploads: r.uploads, laps: make([]time.Duration, 0, r.workload.operations),
		})
	}
	return nil
}

func (r *run) close() {
	for _, c := range r.clients {
		c.Close()
	}
}

// each calls do with 0 to n-1, on all clients.
func (r *run) each(ctx context.Context, n int, do func(*client, int) error) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, len(r.clients))
	for i, c := range r.clients {
		wait.Go(func() {
			c.began = time.Now()
			for k := int(next.Add(1)) - 1; k < n && errs[i] == nil; k = int(next.Add(1)) - 1 {
				errs[i] = errors.Join(ctx.Err(), do(c, k))
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// measure does the work.
func (r *run) measure(ctx context.Context, meter Meter) (Sample, error) {
	if err := meter.Begin(); err != nil {
		return Sample{}, err
	}
	for _, c := range r.clients {
		c.laps = c.laps[:0]
	}
	began := time.Now()
	if err := r.each(ctx, r.workload.operations, r.workload.operate); err != nil {
		return Sample{}, err
	}
	elapsed := time.Since(began)
	usage, err := meter.End()
	sample := Sample{Elapsed: elapsed, Usage: usage, Bytes: int64(r.workload.operations) * r.workload.bytes}
	sample.Operations, sample.P50, sample.P99 = latencies(r.clients)
	return sample, err
}

func latencies(clients []*client) (n int, p50, p99 time.Duration) {
	var all []time.Duration
	for _, c := range clients {
		all = append(all, c.laps...)
	}
	slices.Sort(all)
	if n = len(all); n == 0 {
		return 0, 0, 0
	}
	return n, all[(n-1)*50/100], all[(n-1)*99/100]
}

// settle verifies all uploads, and removes those that are not to stay.
func (r *run) settle(ctx context.Context) error {
	uploads := made(r.uploads)
	if r.workload.stay {
		r.target.staying = append(r.target.staying, uploads...)
	}
	return r.each(ctx, len(uploads), func(c *client, i int) error {
		err := c.verify(c.target, &uploads[i])
		if err != nil || r.workload.stay {
			return err
		}
		return c.remove(&uploads[i])
	})
}

// Clear removes the uploads that runs have left.
func (t *Target) Clear(ctx context.Context) error {
	r := &run{target: t, workload: Workload{clients: 1}}
	defer r.close()
	if err := r.connect(); err != nil {
		return err
	}
	return r.each(ctx, len(t.staying), func(c *client, i int) error { return c.remove(&t.staying[i]) })
}
