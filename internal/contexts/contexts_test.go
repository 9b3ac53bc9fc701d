package contexts

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// newWork returns a context with the functions that end its parent and its client.
func newWork(grace time.Duration) (work *Graceful, lose context.CancelCauseFunc, leave context.CancelFunc) {
	lease, lose := context.WithCancelCause(context.Background())
	client, leave := context.WithCancel(context.Background())
	return &Graceful{Lazy: Lazy{Parent: lease}, Client: client, Grace: grace}, lose, leave
}

// wantOpen calls Err only, since Done would start a timer or a watch of the client.
func wantOpen(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := ctx.Err(); err != nil {
		t.Errorf("the context has ended: %v", err)
	}
}

// wantEnded checks Err, Cause and Done of a context and of a new child.
func wantEnded(t *testing.T, ctx context.Context, cause error) {
	t.Helper()
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), cause) {
		t.Errorf("err %v, cause %v; want %v, %v", ctx.Err(), context.Cause(ctx), context.Canceled, cause)
	}
	child, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for _, c := range []context.Context{ctx, child} {
		select {
		case <-c.Done():
		default:
			t.Error("the channel of Done is open")
		}
		if !errors.Is(context.Cause(c), cause) {
			t.Errorf("cause %v, want %v", context.Cause(c), cause)
		}
	}
}

// errLost is the cause of the end of a lost lease.
var errLost = errors.New("lost")

func TestGraceful(t *testing.T) {
	const grace = time.Minute
	ends := []struct {
		what  string
		cause error
		end   func(work *Graceful, lose context.CancelCauseFunc, leave context.CancelFunc)
	}{
		{"cancelled", context.Canceled, func(work *Graceful, _ context.CancelCauseFunc, _ context.CancelFunc) { work.Cancel() }},
		{"lease lost", errLost, func(_ *Graceful, lose context.CancelCauseFunc, _ context.CancelFunc) { lose(errLost) }},
		{"lease lost after the client", errLost, func(_ *Graceful, lose context.CancelCauseFunc, leave context.CancelFunc) {
			leave()
			lose(errLost)
		}},
		{"client disconnected", context.Canceled, func(work *Graceful, _ context.CancelCauseFunc, leave context.CancelFunc) {
			leave()
			synctest.Wait()
			wantOpen(t, work)
			time.Sleep(grace - 1)
			wantOpen(t, work)
			time.Sleep(time.Nanosecond)
		}},
	}
	for _, c := range ends {
		for _, waited := range []bool{false, true} {
			name := c.what
			if waited {
				name += ", with a waiter"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					work, lose, leave := newWork(grace)
					defer work.Cancel()
					if waited {
						child, stop := context.WithTimeout(work, time.Hour)
						defer stop()
						defer wantEnded(t, child, c.cause)
					}
					wantOpen(t, work)
					c.end(work, lose, leave)
					synctest.Wait()
					wantEnded(t, work, c.cause)
				})
			})
		}
	}
}

// Done of a context whose client has disconnected before is closed after the grace period.
func TestGracefulWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, _, leave := newWork(time.Minute)
		defer work.Cancel()
		began := time.Now()
		leave()
		<-work.Done()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("woken after %v, want the grace period of a minute", took)
		}
	})
}

// watchedClient is a client's context that does not end. It counts the AfterFuncs that
// are registered.
type watchedClient struct {
	context.Context
	done     chan struct{}
	watchers int
}

func (c *watchedClient) Done() <-chan struct{} { return c.done }

func (c *watchedClient) AfterFunc(func()) (stop func() bool) {
	c.watchers++
	return func() bool {
		c.watchers--
		return true
	}
}

// Cancel removes the AfterFunc from the client's context, which may live longer: it can
// be that of the server.
func TestGracefulCancelRemovesAfterFunc(t *testing.T) {
	client := &watchedClient{Context: context.Background(), done: make(chan struct{})}
	work := &Graceful{Lazy: Lazy{Parent: context.Background()}, Client: client, Grace: time.Minute}
	work.Done()
	if client.watchers != 1 {
		t.Fatalf("%d AfterFuncs while Done is used, want 1", client.watchers)
	}
	work.Cancel()
	if client.watchers != 0 {
		t.Errorf("%d AfterFuncs after Cancel, want 0", client.watchers)
	}
}

// Cancel stops the timer of the grace period, and none starts after it.
func TestGracefulCancelStopsTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, _, leave := newWork(time.Minute)
		leave()
		wantOpen(t, work)
		work.Cancel()
		if work.timer == nil || work.timer.Stop() {
			t.Error("the timer of a client that disconnected before is running")
		}
		work, _, leave = newWork(time.Minute)
		work.Done()
		work.Cancel()
		leave()
		synctest.Wait()
		if work.Err(); work.timer != nil {
			t.Error("a timer was started after Cancel")
		}
	})
}

func TestLazyValues(t *testing.T) {
	type key struct{}
	parent := context.WithValue(context.Background(), key{}, "here")
	c := &Lazy{Parent: parent}
	for range 2 {
		if got := c.Value(key{}); got != "here" {
			t.Errorf("value %v", got)
		}
		c.Done()
	}
}
