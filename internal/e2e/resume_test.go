//go:build linux

package e2e

import "testing"

// In these tests a client loses its connection in the middle of an upload, and must
// continue the same upload.

// lossSize is the size of the file. The connection is lost at lossAt, in the middle of a
// chunk: between two chunks a client does not need to resume.
const (
	lossSize = 8*mib + 1
	lossAt   = 7 * mib / 2
)

func TestClientsPause(t *testing.T) {
	forEachLoss(t, func(t *testing.T, c lossCase) {
		s := startService(t, t.TempDir())
		c.pause = newClientPause(t)
		c.after(s, lossAt, c.pause.pause)
		c.upload(t, s)
		wantResumed(t, s)
	})
}

func TestClientsResumeAfterCut(t *testing.T) {
	forEachLoss(t, func(t *testing.T, c lossCase) {
		s := startService(t, t.TempDir())
		c.after(s, lossAt, s.cut)
		c.after(s, lossAt+2*mib, s.cut)
		c.upload(t, s)
		wantResumed(t, s)
	})
}

func TestClientsResumeAfterKill(t *testing.T) {
	forEachLoss(t, func(t *testing.T, c lossCase) {
		s := startService(t, t.TempDir())
		c.after(s, lossAt, func() {
			s.daemon.Kill()
			s.restart(t)
		})
		c.upload(t, s)
		wantResumed(t, s)
	})
}

func TestClientsResumeAfterShutdown(t *testing.T) {
	forEachLoss(t, func(t *testing.T, c lossCase) {
		s := startService(t, t.TempDir())
		c.after(s, lossAt, func() {
			if err := s.daemon.Stop(); err != nil {
				t.Error(err)
			}
			s.restart(t)
		})
		c.upload(t, s)
		wantResumed(t, s)
	})
}

// lossCase is an upload that loses its connection.
type lossCase struct {
	job
	posts    int // creations of an upload without faults
	partials int
}

// forEachLoss runs test with each client and its options.
func forEachLoss(t *testing.T, test func(*testing.T, lossCase)) {
	t.Parallel()
	for name, c := range lossCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

func lossCases() map[string]lossCase {
	chunked := map[string]any{"chunkSize": 2 * mib}
	cases := make(map[string]lossCase)
	for _, client := range jsClients {
		cases["plain/"+client] = lossCase{job: job{Client: client}, posts: 1}
		cases["chunked/"+client] = lossCase{job: job{Client: client, Options: chunked}, posts: 1}
	}
	for _, client := range parallelClients {
		cases["parallel/"+client] = lossCase{
			job:   job{Client: client, Options: map[string]any{"parallelUploads": 3}},
			posts: 4, partials: 3,
		}
	}
	for _, draft := range drafts {
		cases["plain/"+draft] = lossCase{job: draftJob(draft, nil), posts: 1}
		cases["chunked/"+draft] = lossCase{job: draftJob(draft, chunked), posts: 1}
	}
	return cases
}

// after calls do when the next n bytes have been forwarded, and when the client knows the
// URLs of all partials: it creates one again whose answer is lost.
func (c lossCase) after(s *service, n int64, do func()) { s.afterPatches(c.partials, n, do) }

// upload uploads through s, and checks the content and the number of creations.
func (c lossCase) upload(t *testing.T, s *service) {
	t.Helper()
	file, sum := writeContent(t, lossSize)
	c.File = file
	wantContent(t, upload(t, s.relay, c.job), sum)
	wantPosts(t, s.relay, c.posts)
}

// wantResumed checks that a client has resumed: a client sends HEAD only then.
func wantResumed(t *testing.T, s *service) {
	t.Helper()
	if len(s.seen("HEAD")) == 0 {
		t.Error("no client sent HEAD, so none has resumed")
	}
}
