//go:build linux

package faulttest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUnreadableDisk downloads from a disk that fails. The log must have the cause, as an
// error of the server. The call read does not fail: the daemon reads sockets with it, too.
func TestUnreadableDisk(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	trace := filepath.Join(t.TempDir(), "trace")
	daemon := Start(t, Launch{
		Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"),
		Tracer: Strace(trace, "-e", "trace=sendfile", "-e", "inject=sendfile:error=EIO:when=1+"),
	})
	client := daemon.Client()
	content := Content{{Seed: 1, Length: 1 << 20}}
	made, err := client.CreateWith(1<<20, content.Bytes(0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(made.Path()); err == nil {
		t.Error("the download is complete: this proves nothing")
	}
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(time.Millisecond) {
		_, line, found := strings.Cut(daemon.Output(), "method=GET")
		if found && strings.Contains(line, "\n") {
			line, _, _ = strings.Cut(line, "\n")
			if !strings.Contains(daemon.Output(), "level=ERROR") || !strings.Contains(line, "input/output error") || !strings.Contains(line, "ERR_INTERNAL_SERVER_ERROR") {
				t.Errorf("want an error with its cause: %s", daemon.Output())
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line for the download: %s", daemon.Output())
		}
	}
}
