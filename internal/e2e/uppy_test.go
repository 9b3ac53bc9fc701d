//go:build linux

package e2e

import (
	"testing"
	"time"
)

// Uppy uploads in a browser from a page on another origin, so that the browser sends
// preflights (CORS).

func TestUppyUploads(t *testing.T) {
	t.Parallel()
	s := startService(t, t.TempDir())
	b := openPage(t, s.relay)
	file, sum := writeContent(t, lossSize)
	b.upload(file)
	b.wantUploaded(sum)
	wantPosts(t, s.relay, 1)
	wantPreflights(t, s.relay)
	if errors := b.consoleErrors(""); len(errors) != 0 {
		t.Errorf("the browser's console has errors: %q", errors)
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

// TestUppyResumesAfterReload reloads the page in the middle of an upload. When the same
// file is added again, Uppy finds the upload's URL in the browser's storage.
func TestUppyResumesAfterReload(t *testing.T) {
	t.Parallel()
	s := startService(t, t.TempDir())
	b := openPage(t, s.relay)
	halfway, resume := pauseAfter(t, s, lossAt)
	file, sum := writeContent(t, lossSize)
	b.upload(file)
	select {
	case <-halfway:
	case <-time.After(clientLimit):
		t.Fatal("the upload does not get halfway")
	}
	b.keepScreenshot("halfway")
	b.do("reload")
	resume()
	b.upload(file)
	b.wantUploaded(sum)
	wantPosts(t, s.relay, 1)
	wantResumed(t, s)
	wantNoRefusal(t, b)
}

// pauseAfter pauses an upload after n bytes, when some of them are stored, and closes
// paused. The upload continues when resume is called, or at the end of the test.
func pauseAfter(t *testing.T, s *service, n int64) (paused <-chan struct{}, resume func()) {
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

// wantPreflights checks that the browser has sent preflights.
func wantPreflights(t *testing.T, r *relay) {
	t.Helper()
	if len(r.seen("OPTIONS")) == 0 {
		t.Error("the browser sent no preflight: the page and the server have the same origin")
	}
}

// wantNoRefusal checks that CORS has blocked no answer. The console may have errors about
// lost connections.
func wantNoRefusal(t *testing.T, b *browser) {
	t.Helper()
	if refusals := b.consoleErrors("CORS"); len(refusals) != 0 {
		t.Errorf("the browser blocked answers: %q", refusals)
	}
}
