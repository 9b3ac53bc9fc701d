// Package load puts load on a server of tus 1.0 and verifies what it stores.
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

// Usage is the CPU time and the memory of a server during a run.
type Usage struct {
	CPU      time.Duration // user and system time
	Resident int64         // memory afterwards, in bytes
	Peak     int64         // memory at the most, in bytes
}

// Meter measures the process of a server.
type Meter interface {
	// Begin is called before the work.
	Begin() error
	// End is called after the work. It returns nil if the process is unknown.
	End() (*Usage, error)
}

// Sample is the result of a run.
type Sample struct {
	Operations int
	Bytes      int64 // uploaded
	Elapsed    time.Duration
	P50, P99   time.Duration // of the latency of an operation
	Usage      *Usage        // nil: not known
}

// Run runs w once on t and verifies the uploads. Only the work itself is measured. Large
// uploads are removed. Many small uploads stay until Target.Clear, because a file system
// may be slow for minutes after many removals: ext4 skips recently freed inodes, so that
// a round would measure the removals of the previous round.
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
	if err := r.verifyAndRemove(ctx); err != nil {
		return sample, fmt.Errorf("after %s: %w", w.Name, err)
	}
	return sample, nil
}

// run is the state of a call of Run.
type run struct {
	target   *Target
	workload Workload
	uploads  []Upload
	clients  []*client
}

// client is one of the concurrent clients. They share the uploads: one client at a time
// works on an upload.
type client struct {
	*Conn
	number    int // from 0
	target    *Target
	uploads   []Upload
	began     time.Time       // when the running operation began
	latencies []time.Duration // how long operations took
}

// recordLatency records the latency of the operation that has ended. The next one begins.
func (c *client) recordLatency() {
	now := time.Now()
	c.latencies = append(c.latencies, now.Sub(c.began))
	c.began = now
}

func (r *run) connect() error {
	for i := range r.workload.clients {
		conn, err := dial(r.target.address, sendSize)
		if err != nil {
			return err
		}
		r.clients = append(r.clients, &client{
			Conn: conn, number: i, target: r.target, uploads: r.uploads, latencies: make([]time.Duration, 0, r.workload.operations),
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

// measure runs the work and measures it.
func (r *run) measure(ctx context.Context, meter Meter) (Sample, error) {
	if err := meter.Begin(); err != nil {
		return Sample{}, err
	}
	for _, c := range r.clients {
		c.latencies = c.latencies[:0]
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
		all = append(all, c.latencies...)
	}
	slices.Sort(all)
	if n = len(all); n == 0 {
		return 0, 0, 0
	}
	return n, all[(n-1)*50/100], all[(n-1)*99/100]
}

// verifyAndRemove verifies all uploads, and removes those of workloads that do not stay.
func (r *run) verifyAndRemove(ctx context.Context) error {
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
