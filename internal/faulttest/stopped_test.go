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

	"github.com/tus/tusd/internal/tusclient"
)

// signal sends s to the daemon.
func (d *Daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop stops the daemon as SIGSTOP or a frozen container does, and returns when
// it has stopped.
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

// wholeLife has an upload created, continued, looked at, read and removed.
func wholeLife(c *tusclient.Client) error {
	p, err := create(c, Content{{Seed: 7, Length: 2000}})
	if err != nil {
		return err
	}
	for p.Offset < 2000 {
		if err := patch(c, p, 1000); err != nil {
			return err
		}
		head, err := c.Head(p.Path)
		if err := errors.Join(err, head.Want("HEAD", http.StatusOK)); err != nil {
			return err
		}
		if head.Offset() != p.Offset {
			return fmt.Errorf("HEAD: %v, want offset %d", head, p.Offset)
		}
	}
	return errors.Join(download(c, p), deletes(c, p))
}

// TestStoppedNeighbour: a daemon that is stopped in the middle of an upload,
// on a directory that it had for itself, blocks this upload, and no other: not
// in a daemon that was there, not in one that comes. Nothing is lost, and when it
// goes on, so does the upload.
func TestStoppedNeighbour(t *testing.T) {
	for _, when := range []string{"newcomer", "there before"} {
		t.Run(when, func(t *testing.T) {
			launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
			d := duo{dir: launch.Dir, a: Start(t, launch)}
			launch.Flags = []string{"-acquire-lock-timeout", "100ms"}
			if when == "there before" {
				d.b = Start(t, launch)
			}
			if err := wholeLife(d.a.Client()); err != nil {
				t.Fatal(err)
			}
			held, running, err := d.stalled(1, 5000)
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
				if err := wholeLife(b); err != nil {
					t.Fatalf("beside a daemon that is stopped: %v", err)
				}
				d.wantHeld(t, held)
			}
			d.a.signal(t, syscall.SIGCONT)
			if err := d.goesOn(held, running); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantHeld checks that daemon b answers every request for a held upload as one
// that may be repeated.
func (d duo) wantHeld(t *testing.T, p *Promise) {
	t.Helper()
	b := d.b.Client()
	for what, ask := range map[string]func() (tusclient.Answer, error){
		"HEAD":   func() (tusclient.Answer, error) { return b.Head(p.Path) },
		"PATCH":  func() (tusclient.Answer, error) { return b.Patch(p.Path, 5000, p.Content.Piece(5000, 10)) },
		"DELETE": func() (tusclient.Answer, error) { return b.Delete(p.Path) },
	} {
		answer, err := ask()
		if err := errors.Join(err, answer.Want(what, http.StatusLocked)); err != nil {
			t.Errorf("an upload that a stopped daemon holds: %v", err)
		}
	}
}

// goesOn checks that the PATCH which a stopped daemon was reading can be
// continued by either daemon.
func (d duo) goesOn(p *Promise, running *tusclient.OpenRequest) error {
	rest := p.Content.Length() - 5000
	_, err := running.Write(p.Content.Piece(5000, rest))
	if err := errors.Join(err, running.CloseWrite()); err != nil {
		return err
	}
	answer, err := running.Answer()
	if err := errors.Join(err, answer.Want("the PATCH", http.StatusNoContent)); err != nil {
		return err
	}
	p.Offset = p.Content.Length()
	return errors.Join(AllPromises.Check(d.b.Client(), []*Promise{p}), wholeLife(d.a.Client()))
}

// TestStoppedWhileStarting: a daemon that is stopped at any moment of its start
// keeps no other from its work.
func TestStoppedWhileStarting(t *testing.T) {
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
	served := Start(t, launch)
	for i := range 12 {
		starting := &Daemon{cmd: exec.Command(launch.Binary, append(launch.storing(), launch.listening()...)...)}
		if err := starting.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(i) * 2 * time.Millisecond) // any moment will do
		starting.stop(t)
		err := wholeLife(served.Client())
		starting.signal(t, syscall.SIGKILL)
		starting.cmd.Wait()
		if err != nil {
			t.Fatalf("beside a daemon that was stopped %d ms after its start: %v", 2*i, err)
		}
	}
}
