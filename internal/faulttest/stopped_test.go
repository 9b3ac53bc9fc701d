//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// signal sends s to the daemon.
func (d *Daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop stops the daemon with SIGSTOP, as a frozen container is, and waits until it has
// stopped.
func (d *Daemon) stop(t *testing.T) {
	t.Helper()
	d.signal(t, syscall.SIGSTOP)
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.PID()))
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "T") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not stop")
		}
	}
}

// uploadAndDelete makes an upload in two PATCHes, downloads it and terminates it.
func uploadAndDelete(c *tusclient.Client) error {
	ack, err := create(c, Content{{Seed: 7, Length: 2000}})
	if err != nil {
		return err
	}
	for ack.Offset < 2000 {
		if err := patch(c, ack, 1000); err != nil {
			return err
		}
		head, err := c.Head(ack.Path)
		if err := errors.Join(err, head.Want("HEAD", http.StatusOK)); err != nil {
			return err
		}
		if head.Offset() != ack.Offset {
			return fmt.Errorf("HEAD: %v, want offset %d", head, ack.Offset)
		}
	}
	return errors.Join(download(c, ack), terminate(c, ack))
}

// TestStoppedDaemonBlocksOnlyItsUpload stops one of two daemons with the same directory in
// the middle of a PATCH. The upload is locked, all others are not, also if the second daemon
// starts later. When the first daemon continues, the PATCH does, too.
func TestStoppedDaemonBlocksOnlyItsUpload(t *testing.T) {
	require.Long(t)
	for _, when := range []string{"started later", "started before"} {
		t.Run(when, func(t *testing.T) {
			launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
			d := pair{dir: launch.Dir, a: Start(t, launch)}
			launch.Flags = []string{"-acquire-lock-timeout", "100ms"}
			if when == "started before" {
				d.b = Start(t, launch)
			}
			if err := uploadAndDelete(d.a.Client()); err != nil {
				t.Fatal(err)
			}
			locked, running, err := d.stallPatch(1, 5000)
			if err != nil {
				t.Fatal(err)
			}
			defer running.Abort()
			d.a.stop(t)
			if d.b == nil {
				d.b = Start(t, launch)
			}
			b := d.b.Client()
			for range 2 {
				if err := uploadAndDelete(b); err != nil {
					t.Fatalf("beside a stopped daemon: %v", err)
				}
				d.wantLocked(t, locked)
			}
			d.a.signal(t, syscall.SIGCONT)
			if err := d.checkContinues(locked, running); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantLocked checks that daemon b answers every request for the upload with 423.
func (d pair) wantLocked(t *testing.T, ack *Ack) {
	t.Helper()
	b := d.b.Client()
	for what, ask := range map[string]func() (tusclient.Answer, error){
		"HEAD":   func() (tusclient.Answer, error) { return b.Head(ack.Path) },
		"PATCH":  func() (tusclient.Answer, error) { return b.Patch(ack.Path, 5000, ack.Content.Bytes(5000, 10)) },
		"DELETE": func() (tusclient.Answer, error) { return b.Delete(ack.Path) },
	} {
		answer, err := ask()
		if err := errors.Join(err, answer.Want(what, http.StatusLocked)); err != nil {
			t.Errorf("an upload that a stopped daemon has locked: %v", err)
		}
	}
}

// checkContinues completes the PATCH to the daemon that was stopped, and checks both daemons.
func (d pair) checkContinues(ack *Ack, running *tusclient.OpenRequest) error {
	rest := ack.Content.Length() - 5000
	_, err := running.Write(ack.Content.Bytes(5000, rest))
	if err := errors.Join(err, running.CloseWrite()); err != nil {
		return err
	}
	answer, err := running.Answer()
	if err := errors.Join(err, answer.Want("the PATCH", http.StatusNoContent)); err != nil {
		return err
	}
	ack.Offset = ack.Content.Length()
	return errors.Join(EveryAck.Check(d.b.Client(), []*Ack{ack}), uploadAndDelete(d.a.Client()))
}

// TestDaemonStoppedWhileStarting stops daemons at several times of their start. Another daemon
// with the same directory must go on serving.
func TestDaemonStoppedWhileStarting(t *testing.T) {
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
	served := Start(t, launch)
	for i := range 12 {
		starting := &Daemon{cmd: exec.Command(launch.Binary, append(launch.storing(), launch.listening()...)...)}
		if err := starting.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(i) * 2 * time.Millisecond) // another time of the start in each round
		starting.stop(t)
		err := uploadAndDelete(served.Client())
		starting.signal(t, syscall.SIGKILL)
		starting.cmd.Wait()
		if err != nil {
			t.Fatalf("beside a daemon that was stopped %d ms after its start: %v", 2*i, err)
		}
	}
}
