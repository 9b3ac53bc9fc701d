package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"
)

// SlowPlan is a load of connections that each send their first bytes as fast
// as they can and then one byte a second.
type SlowPlan struct {
	Connections int
	Burst       int64         // bytes at full speed
	AtOnce      int           // connections that send their burst at the same time
	Time        time.Duration // how long all of them are slow, before they are cut
}

// SlowSample is the memory of the server with slow connections.
type SlowSample struct {
	Before int64 // resident memory before the first connection, in bytes
	After  int64 // at the end of the slow time
	Peak   int64 // at the most, from the first burst on
}

// slowSendSize is the size of a write of a slow connection in its burst, in bytes. It is
// small, because each of many connections has a buffer of that size.
const slowSendSize = 32 << 10

// Slow opens slow connections to t, cuts them, completes the uploads and verifies them.
// resident returns the server's memory and its peak, and resets the peak.
func Slow(ctx context.Context, t *Target, plan SlowPlan, resident func() (now, peak int64, err error)) (SlowSample, error) {
	length := plan.Burst + int64(math.Ceil(plan.Time.Seconds())) + int64(ioTimeout.Seconds())
	r := &run{
		target: t, workload: Workload{clients: min(16, plan.Connections), stay: true},
		uploads: make([]Upload, plan.Connections),
	}
	defer r.close()
	if err := errors.Join(r.connect(), r.each(ctx, plan.Connections, makeEmpty(length))); err != nil {
		return SlowSample{}, err
	}
	r.close() // idle connections are not to count
	sample, err := slowdown(ctx, r.uploads, t, plan, resident)
	if err != nil {
		return sample, err
	}
	if err := r.each(ctx, plan.Connections, (*client).complete); err != nil {
		return sample, fmt.Errorf("after slow connections: %w", err)
	}
	return sample, r.verifyAndRemove(ctx)
}

// slowdown runs the slow connections and measures.
func slowdown(ctx context.Context, uploads []Upload, t *Target, plan SlowPlan, resident func() (int64, int64, error)) (s SlowSample, err error) {
	if s.Before, _, err = resident(); err != nil {
		return s, err
	}
	ctx, cut := context.WithCancelCause(ctx)
	slow := newSlowConnections(t, plan, cut)
	for i := range uploads {
		slow.add(ctx, &uploads[i])
	}
	slow.bursts.Wait()
	select {
	case <-ctx.Done():
	case <-time.After(plan.Time):
		s.After, s.Peak, err = resident()
	}
	cut(nil)
	slow.running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return s, err
}

// slowConnections runs many slow connections.
type slowConnections struct {
	target     *Target
	plan       SlowPlan
	fail       context.CancelCauseFunc
	burstSlots chan struct{} // one for each burst that is being sent
	bursts     sync.WaitGroup
	running    sync.WaitGroup
}

func newSlowConnections(t *Target, plan SlowPlan, fail context.CancelCauseFunc) *slowConnections {
	return &slowConnections{target: t, plan: plan, fail: fail, burstSlots: make(chan struct{}, plan.AtOnce)}
}

// add adds a connection that uploads u until ctx ends.
func (c *slowConnections) add(ctx context.Context, u *Upload) {
	c.bursts.Add(1)
	c.running.Go(func() {
		conn, err := c.burst(u)
		c.bursts.Done()
		if err == nil {
			defer conn.Close()
			err = conn.sendSlowly(ctx, u, c.plan.Burst)
		}
		if err != nil {
			c.fail(fmt.Errorf("slow connection: %w", err))
		}
	})
}

// burst opens a connection and sends the first bytes.
func (c *slowConnections) burst(u *Upload) (*Conn, error) {
	c.burstSlots <- struct{}{}
	defer func() { <-c.burstSlots }()
	conn, err := dial(c.target.address, slowSendSize)
	if err != nil {
		return nil, err
	}
	conn.begin(patchOf(u, u.Length))
	if err := conn.send(u.Content, 0, c.plan.Burst); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// sendSlowly sends a byte a second.
func (c *Conn) sendSlowly(ctx context.Context, u *Upload, offset int64) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ; offset < u.Length; offset++ {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
		}
		if err := c.send(u.Content, offset, 1); err != nil {
			return err
		}
	}
	return nil
}

// complete sends the rest of an upload whose connection was cut. It retries until the
// server has noticed the cut.
func (c *client) complete(i int) error {
	u := &c.uploads[i]
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(ioTimeout); ; <-again.C {
		done, err := c.resume(u)
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("upload %s cannot be resumed", u.Path)
		}
	}
}

// resume sends the rest of an upload from the server's offset. done is false if an answer
// was transient.
func (c *client) resume(u *Upload) (done bool, err error) {
	a, err := c.Conn.head(u)
	if err != nil {
		return false, err
	}
	if isTransient(a.Status) {
		return false, nil
	}
	if a.Status != http.StatusOK || a.Offset < 0 || a.Offset > u.Length {
		return false, fmt.Errorf("HEAD %s was answered %d with offset %d of %d", u.Path, a.Status, a.Offset, u.Length)
	}
	u.Offset = a.Offset
	if u.Offset == u.Length {
		return true, nil
	}
	a, err = c.exchange(patchOf(u, u.Length-u.Offset))
	if err != nil || isTransient(a.Status) || a.Status == http.StatusConflict {
		return false, err
	}
	if a.Status != http.StatusNoContent || a.Offset != u.Length {
		return false, fmt.Errorf("PATCH %s was answered %d with offset %d of %d", u.Path, a.Status, a.Offset, u.Length)
	}
	u.Offset = u.Length
	return true, nil
}

// isTransient reports whether a status means that the client should retry.
func isTransient(status int) bool { return status == http.StatusLocked || status >= 500 }
