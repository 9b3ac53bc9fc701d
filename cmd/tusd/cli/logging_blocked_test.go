package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/loglimit"
	"github.com/tus/tusd/internal/logtest"
)

// blockedOutput blocks all writes after the start-up lines.
type blockedOutput struct {
	logtest.Buffer
	released chan struct{}
}

func (s *blockedOutput) Write(p []byte) (int, error) {
	if startLine.MatchString(s.String()) {
		<-s.released
	}
	return s.Buffer.Write(p)
}

// If the daemon's output is not read any more, requests are still served, and the
// daemon can be stopped.
func TestDaemonWithBlockedLog(t *testing.T) {
	t.Parallel()
	out := &blockedOutput{released: make(chan struct{})}
	t.Cleanup(func() { close(out.released) })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan int, 1)
	var stderr logtest.Buffer
	go func() {
		ended <- Run(ctx, []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir()}, nil, out, &stderr)
	}()
	var url string
	await(t, "the daemon to start", func() bool {
		found := startLine.FindStringSubmatch(out.String())
		if found != nil {
			url = found[1]
		}
		return found != nil
	})
	client := &http.Client{Timeout: testTimeout}
	defer client.CloseIdleConnections()
	for range clientLogQueueSize / freePerShare / loglimit.Text * 2 { // twice the queue's share of one client
		do(t, client, http.MethodHead, url+strings.Repeat("x", 8<<10))
	}
	client.CloseIdleConnections()
	stop()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr.String())
		}
	case <-time.After(testTimeout):
		t.Fatal("the daemon does not end")
	}
}
