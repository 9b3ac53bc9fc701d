//go:build linux

package e2e

import (
	"testing"
	"time"
)

// People upload with Uppy in a browser, from a page on another origin, so that
// the browser first asks whether it may (CORS).

func TestUppyUploads(t *testing.T) {
	t.Parallel()
	s := startService(t, t.TempDir())
	b := openPage(t, s.relay)
	file, sum := writeContent(t, lossSize)
	b.upload(file)
	b.wantUploaded(sum)
	wantPosts(t, s.relay, 1)
	wantPreflights(t, s.relay)
	if complaints := b.complaints(""); len(complaints) != 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
}

// TestUppyResumes cuts the connection, and later kills the server.
func TestUppyResumes(t *testing.T) {
	t.Parallel()
	s := startService(t, t.TempDir())
	b := openPage(t, s.relay)
	s.after(lossAt, func() {
		s.awaitStored(t, mib)
		s.cut()
		s.after(2*mib, func() { s.kill(t) })
	})
	file, sum := writeContent(t, lossSize)
	b.upload(file)
	b.wantUploaded(sum)
	wantPosts(t, s.relay, 1)
	wantResumed(t, s)
	wantPreflights(t, s.relay)
	wantNoRefusal(t, b)
}

// TestUppyRemembers reloads the page in the middle of an upload. Uppy knows
// nothing of it afterwards, until it is given the same file again: it then
// finds the upload's URL in the browser's storage.
func TestUppyRemembers(t *testing.T) {
	t.Parallel()
	s := startService(t, t.TempDir())
	b := openPage(t, s.relay)
	halfway, goOn := holdAfter(t, s, lossAt)
	file, sum := writeContent(t, lossSize)
	b.upload(file)
	select {
	case <-halfway:
	case <-time.After(clientLimit):
		t.Fatal("the upload does not get halfway")
	}
	b.keepScreenshot("halfway")
	b.do("reload")
	goOn()
	b.upload(file)
	b.wantUploaded(sum)
	wantPosts(t, s.relay, 1)
	wantResumed(t, s)
	wantNoRefusal(t, b)
}

// holdAfter stops an upload when n bytes of it have passed and something of
// them is stored: held is closed then. It goes on with goOn, or at the end of
// the test.
func holdAfter(t *testing.T, s *service, n int64) (held <-chan struct{}, goOn func()) {
	reached, released := make(chan struct{}), make(chan struct{})
	s.after(n, func() {
		s.awaitStored(t, mib)
		close(reached)
		select {
		case <-released:
		case <-t.Context().Done():
		}
	})
	return reached, func() { close(released) }
}

// wantPreflights checks that the browser asked before it uploaded.
func wantPreflights(t *testing.T, r *relay) {
	t.Helper()
	if len(r.seen("OPTIONS")) == 0 {
		t.Error("the browser asked for no permission: the page and the server have the same origin")
	}
}

// wantNoRefusal checks that no answer was kept from the page because it did not
// permit its origin. That connections are lost is told on the console, too.
func wantNoRefusal(t *testing.T, b *browser) {
	t.Helper()
	if refusals := b.complaints("CORS"); len(refusals) != 0 {
		t.Errorf("the browser kept answers from the page: %q", refusals)
	}
}
