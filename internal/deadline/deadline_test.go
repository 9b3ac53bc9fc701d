package deadline_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// recorder is a ResponseWriter that records the deadlines that are set.
type recorder struct {
	http.ResponseWriter // nil
	read, write         time.Time
	sets                int
	err                 error
	warned              int
}

func (r *recorder) SetReadDeadline(t time.Time) error {
	r.read = t
	r.sets++
	return r.err
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.write = t
	r.sets++
	return r.err
}

func (r *recorder) WarnDeadlines(error) { r.warned++ }

const idle = 8 * time.Second

var errAbort = errors.New("aborted")

// withRequest runs test with the deadlines of a request with a body.
func withRequest(t *testing.T, test func(t *testing.T, d *deadline.Request, r *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline.Request
		r := &recorder{}
		d.Init(http.NewResponseController(r), idle, r)
		d.Start(true)
		test(t, &d, r)
	})
}

func wantTime(t *testing.T, what string, got, want time.Time) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("%s deadline in %v, want in %v", what, time.Until(got), time.Until(want))
	}
}

func TestReadDeadlineFollowsProgress(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		wantTime(t, "read", r.read, time.Time{})
		for range 3 {
			if err := d.BeforeRead(time.Now()); err != nil {
				t.Fatal(err)
			}
			wantTime(t, "read", r.read, time.Now().Add(idle))
			time.Sleep(idle / 2)
		}
		d.AfterRead()
		wantTime(t, "read", r.read, time.Time{})
	})
}

// Many small reads and writes set few deadlines.
func TestSmallReadsSetFewDeadlines(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		for range 100 {
			d.BeforeRead(time.Now())
			d.BeforeWrite()
			time.Sleep(idle / 1000)
		}
		if r.sets != 2 {
			t.Errorf("deadlines set %d times, want 2", r.sets)
		}
	})
}

func TestAbortIsSticky(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		at := time.Now().Add(time.Second)
		d.Abort(errAbort, at)
		d.Abort(errors.New("a later one"), time.Now())
		if err := d.BeforeRead(time.Now()); err != nil {
			t.Errorf("a read before the abort: %v", err)
		}
		wantTime(t, "read", r.read, at)
		time.Sleep(2 * time.Second)
		if err := d.BeforeRead(time.Now()); err != errAbort {
			t.Errorf("a read after the abort: %v", err)
		}
		if d.Bound(errors.New("bound"), at.Add(time.Hour)) {
			t.Error("a bound after an abort")
		}
	})
}

// A closed request sets no deadline: the connection may serve the next request.
func TestNoDeadlineAfterClose(t *testing.T) {
	for _, http1 := range []bool{true, false} {
		withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
			d.BeforeRead(time.Now())
			d.BeforeWrite()
			d.Close(http1)
			write := time.Time{}
			if !http1 {
				write = time.Now().Add(2 * idle)
			}
			wantTime(t, "write", r.write, write)
			sets := r.sets
			d.Abort(errAbort, time.Now())
			time.Sleep(idle)
			d.BeforeWrite()
			if r.sets != sets {
				t.Error("a deadline was set after the end")
			}
		})
	}
}

func TestWarnsOnce(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		r.err = http.ErrNotSupported
		d.BeforeRead(time.Now())
		d.BeforeWrite()
		if r.warned != 1 {
			t.Errorf("warned %d times", r.warned)
		}
	})
}

// Hasten ends reading at once, and a write that makes no progress soon.
func TestHasten(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		d.BeforeRead(time.Now())
		d.BeforeWrite()
		time.Sleep(idle / 2)
		d.Hasten(errAbort)
		wantTime(t, "write", r.write, time.Now().Add(time.Second))
		time.Sleep(time.Second)
		if err := d.BeforeRead(time.Now()); err != errAbort {
			t.Errorf("reading: %v", err)
		}
		if !r.read.Before(time.Now()) {
			t.Errorf("read deadline in %v", time.Until(r.read))
		}
	})
}

func TestHastenLeavesProgress(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		d.BeforeWrite()
		d.Hasten(errAbort)
		for range 5 {
			wantTime(t, "write", r.write, time.Now().Add(2*time.Second))
			time.Sleep(time.Second)
			d.BeforeWrite()
		}
		if err := d.BeforeRead(time.Now()); err != nil {
			t.Errorf("received bytes are not read: %v", err)
		}
	})
}

// Hasten sets no deadline while the server neither reads nor writes.
func TestHastenLeavesWork(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		d.BeforeRead(time.Now())
		d.AfterRead()
		sets := r.sets
		d.Hasten(errAbort)
		if r.sets != sets {
			t.Error("a deadline was set")
		}
	})
}

// Hasten also ends the wait for the unread rest of a body.
func TestHastenEndsDraining(t *testing.T) {
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		if !d.Bound(errAbort, time.Now().Add(time.Hour)) {
			t.Fatal("Bound returns false")
		}
		d.Hasten(errAbort)
		if in := time.Until(r.read); in > time.Second {
			t.Errorf("read deadline in %v", in)
		}
	})
	withRequest(t, func(t *testing.T, d *deadline.Request, r *recorder) {
		d.Hasten(errAbort)
		if !d.Bound(errAbort, time.Now().Add(time.Hour)) {
			t.Fatal("Bound returns false")
		}
		if in := time.Until(r.read); in > time.Second {
			t.Errorf("read deadline in %v", in)
		}
	})
}
