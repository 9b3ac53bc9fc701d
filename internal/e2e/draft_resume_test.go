//go:build linux

package e2e

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// newestInterop is the version of a client that follows the newest draft.
const newestInterop = 9

// interops are the versions of clients that upload optimistically: those of Apple's
// URLSession since iOS 17, and the newest.
var interops = []int{3, 5, 6, 8, newestInterop}

// forEachInterop runs test for each version, with its own service.
func forEachInterop(t *testing.T, test func(t *testing.T, s *service, c *draftClient)) {
	t.Parallel()
	content, sum := makeContent(t, lossSize)
	for _, interop := range interops {
		t.Run(fmt.Sprint("interop ", interop), func(t *testing.T) {
			t.Parallel()
			s := startService(t, t.TempDir())
			c := newDraftClient(t, s.relay, interop, content)
			test(t, s, c)
			wantContent(t, c.uploadURL(), sum)
			wantPosts(t, s.relay, 1)
		})
	}
}

func TestOptimisticUpload(t *testing.T) {
	forEachInterop(t, func(t *testing.T, s *service, c *draftClient) {
		if limit := c.limit("max-size"); limit != 0 { // PhotoKit reads this first
			t.Errorf("the largest upload is %d bytes, want no limit", limit)
		}
		c.upload()
		if len(c.resumed) != 0 {
			t.Error("an upload without faults was resumed")
		}
	})
}

// TestOptimisticUploadIsCut cuts the connection of the creation and of the next three
// requests.
func TestOptimisticUploadIsCut(t *testing.T) {
	forEachInterop(t, func(t *testing.T, s *service, c *draftClient) {
		var cut func()
		cuts := 0
		cut = func() {
			cuts++
			c.awaitURL()
			s.awaitStored(t, c.acknowledged()+mib) // the server reads the body of this request
			s.cut()
			if cuts < 4 {
				s.after(3*mib/2, cut)
			}
		}
		s.after(3*mib/2, cut)
		c.upload()
		wantResumptions(t, s, c, 4)
	})
}

func TestOptimisticUploadOutlivesKill(t *testing.T) {
	forEachInterop(t, func(t *testing.T, s *service, c *draftClient) {
		s.after(lossAt, func() {
			c.awaitURL()
			s.awaitStored(t, mib)
			s.kill(t)
		})
		c.upload()
		wantResumptions(t, s, c, 1)
	})
}

// wantResumptions checks how often an upload was resumed, and that each time the offset
// was larger.
func wantResumptions(t *testing.T, s *service, c *draftClient, times int) {
	t.Helper()
	last := int64(0)
	for _, offset := range c.resumed {
		if offset <= last {
			t.Errorf("resumed at the offsets %d, want them to rise", c.resumed)
		}
		last = offset
	}
	if len(c.resumed) != times {
		t.Errorf("resumed at the offsets %d, want %d of them", c.resumed, times)
	}
	if t.Failed() {
		logExchanges(t, s.relay)
	}
}

// TestReportedProgressIsStored cuts the connection of a slow client, or kills the server,
// after two 104 responses with an offset. The client checks that the bytes up to those
// offsets are stored (draftClient.readOffset).
func TestReportedProgressIsStored(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *service){
		"cut":  func(_ *testing.T, s *service) { s.cut() },
		"kill": func(t *testing.T, s *service) { s.kill(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, t.TempDir())
			content, sum := makeContent(t, 64*mib)
			c := newDraftClient(t, s.relay, newestInterop, content)
			slow := &slowReader{
				tick:  time.NewTicker(5 * time.Millisecond),
				until: func() bool { return c.interimCount() >= 2 },
				then:  func() { end(t, s) },
			}
			defer slow.tick.Stop()
			c.wrapBody = func(body io.Reader) io.Reader {
				c.wrapBody = nil // later requests are fast
				slow.from = body
				return slow
			}
			wantContent(t, c.upload(), sum)
			wantPosts(t, s.relay, 1)
			if len(c.resumed) == 0 || c.resumed[0] < 2*mib {
				t.Errorf("resumed at %d, want at least the offsets of two 104s", c.resumed)
			}
		})
	}
}

// slowReader reads slowly until a condition is met, then calls a function and reads fast.
type slowReader struct {
	from  io.Reader
	tick  *time.Ticker
	until func() bool
	then  func()
	fast  bool
}

func (r *slowReader) Read(p []byte) (int, error) {
	switch {
	case r.fast:
	case r.until():
		r.fast = true
		r.then()
	default:
		<-r.tick.C
	}
	return r.from.Read(p)
}

// TestClientReadsLimits uploads with a client that requests the server's limits and
// sends no larger requests.
func TestClientReadsLimits(t *testing.T) {
	s := startService(t, t.TempDir(), "-max-append-size", "1048576")
	content, sum := makeContent(t, 3*mib+1)
	c := newDraftClient(t, s.relay, newestInterop, content)
	c.maxContent = c.limit("max-append-size")
	wantContent(t, c.upload(), sum)
	wantPosts(t, s.relay, 1)
	if patches := len(s.seen("PATCH")); patches != 3 {
		t.Errorf("%d PATCHes, want 3", patches)
	}
}
