package tusd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// newWork returns a workContext as a hold has it, with the ends of its lease
// and its client.
func newWork(grace time.Duration) (work *workContext, lose context.CancelCauseFunc, leave context.CancelFunc) {
	lease, lose := context.WithCancelCause(context.Background())
	client, leave := context.WithCancel(context.Background())
	return &workContext{lateContext: lateContext{parent: lease}, client: client, grace: grace}, lose, leave
}

// wantOpen only asks: who waits would change what is looked at.
func wantOpen(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := ctx.Err(); err != nil {
		t.Errorf("it has ended: %v", err)
	}
}

// wantEnded looks in every way there is, and at a child that is made now.
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
			t.Error("the channel of its end is open")
		}
		if !errors.Is(context.Cause(c), cause) {
			t.Errorf("cause %v, want %v", context.Cause(c), cause)
		}
	}
}

func TestWorkContext(t *testing.T) {
	const grace = time.Minute
	ends := []struct {
		what  string
		cause error
		end   func(work *workContext, lose context.CancelCauseFunc, leave context.CancelFunc)
	}{
		{"cancelled", context.Canceled, func(work *workContext, _ context.CancelCauseFunc, _ context.CancelFunc) { work.cancel() }},
		{"lease lost", ErrLockLost, func(_ *workContext, lose context.CancelCauseFunc, _ context.CancelFunc) { lose(ErrLockLost) }},
		{"lease lost after the client", ErrLockLost, func(_ *workContext, lose context.CancelCauseFunc, leave context.CancelFunc) {
			leave()
			lose(ErrLockLost)
		}},
		{"client gone", context.Canceled, func(work *workContext, _ context.CancelCauseFunc, leave context.CancelFunc) {
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
				name += ", waited for"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					work, lose, leave := newWork(grace)
					defer work.cancel()
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

// Who is woken by the end of the work, rather than asks, is woken by a client
// that went away unnoticed, too.
func TestWorkContextWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, _, leave := newWork(time.Minute)
		defer work.cancel()
		began := time.Now()
		leave()
		<-work.Done()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("woken after %v, want the grace period of a minute", took)
		}
	})
}

// watchedClient is a client's context that does not end and counts who waits for
// that.
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

// A hold that is over leaves no watch over a client that stays: the server is
// one, too.
func TestWorkContextForgetsItsClient(t *testing.T) {
	client := &watchedClient{Context: context.Background(), done: make(chan struct{})}
	work := &workContext{lateContext: lateContext{parent: context.Background()}, client: client, grace: time.Minute}
	work.Done()
	if client.watchers != 1 {
		t.Fatalf("%d watch the client of work that somebody waits for", client.watchers)
	}
	work.cancel()
	if client.watchers != 0 {
		t.Errorf("%d watch the client of work that is over", client.watchers)
	}
}

// Nor a timer for a client that goes, before the end or after it.
func TestWorkContextForgetsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, _, leave := newWork(time.Minute)
		leave()
		wantOpen(t, work)
		work.cancel()
		if work.timer == nil || work.timer.Stop() {
			t.Error("the grace period of a client that went before goes on")
		}
		work, _, leave = newWork(time.Minute)
		work.Done()
		work.cancel()
		leave()
		synctest.Wait()
		if work.Err(); work.timer != nil {
			t.Error("a grace period begins after the end")
		}
	})
}

func TestLateContextValues(t *testing.T) {
	type key struct{}
	parent := context.WithValue(context.Background(), key{}, "here")
	c := &lateContext{parent: parent}
	for range 2 {
		if got := c.Value(key{}); got != "here" {
			t.Errorf("value %v", got)
		}
		c.Done()
	}
}

// What a subscription does with an event is its own affair.
func TestEventsAreCopies(t *testing.T) {
	var b broadcaster
	first, second := b.subscribe(1), b.subscribe(1)
	b.publish(Event{Upload: FileInfo{MetaData: MetaData{"name": "a"}}})
	clear((<-first.C).Upload.MetaData)
	if got := (<-second.C).Upload.MetaData["name"]; got != "a" {
		t.Errorf("the second subscription got the name %q", got)
	}
}

// sharedRecord is an upload with nothing but a record, of which it makes no
// copies that it need not make.
type sharedRecord struct {
	Upload
	info FileInfo
}

func (u *sharedRecord) GetInfo(context.Context) (FileInfo, error) { return u.info, nil }

func (u *sharedRecord) UpdateInfo(_ context.Context, change func(*FileInfo) error) error {
	next := u.info.Clone()
	err := change(&next)
	u.info = next
	return err
}

// What a callback does with an answer after it has given it is its own affair.
func TestRefusalsAreCopies(t *testing.T) {
	header := map[string]string{"X-Why": "scan"}
	upload := new(sharedRecord)
	h := &lockedUpload{upload: upload, times: &newMetrics().store}
	new(engine).recordRefusal(t.Context(), h, ErrUploadRejected.Refuse(HTTPResponse{Header: header}))
	clear(header)
	if got := upload.info.Failure.Header["X-Why"]; got != "scan" {
		t.Errorf("the record has the header %q", got)
	}
}
