package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// patience bounds how long a server may take to start or to stop.
const patience = 30 * time.Second

// server is a server that is driven, and its process if that is known.
type server struct {
	name   string
	url    string // where it creates uploads
	target *load.Target
	pid    int // 0: not known

	cmd    *exec.Cmd // nil: not ours
	exited chan struct{}
	log    string // what it prints goes to this file
}

// launch says how to start a server.
type launch struct {
	name    string
	command []string // without the directory
	env     []string // beside that of this process
	dir     string   // of the uploads; "": it gets none
	log     string   // file for what it prints
	visit   bool     // verify contents in the directory rather than by GET
}

// start starts a server and returns when it says that it serves. It prints to
// a file, as a service does, so that nobody has to read along while it works.
func start(ctx context.Context, l launch) (*server, error) {
	log, err := os.Create(l.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{name: l.name, exited: make(chan struct{}), log: l.log}
	s.cmd = exec.Command(l.command[0], l.arguments()...)
	s.cmd.Env = append(os.Environ(), l.env...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	dieWithUs(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = s.cmd.Process.Pid
	go func() {
		defer close(s.exited)
		s.cmd.Wait() // the result is in ProcessState
	}()
	if s.url, err = s.await(ctx); err == nil {
		s.target, err = load.NewTarget(s.url, directoryOf(l))
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (l launch) arguments() []string {
	if l.dir == "" {
		return l.command[1:]
	}
	return slices.Concat(l.command[1:], []string{"-upload-dir", l.dir})
}

func directoryOf(l launch) string {
	if l.visit {
		return l.dir
	}
	return ""
}

var startupLine = regexp.MustCompile(`You can now upload files to: (\S+)\n`)

// await reads where the server is from what it prints.
func (s *server) await(ctx context.Context) (url string, err error) {
	deadline := time.After(patience)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		printed, err := os.ReadFile(s.log)
		if err != nil {
			return "", err
		}
		if m := startupLine.FindSubmatch(printed); m != nil {
			return string(m[1]), nil
		}
		select {
		case <-look.C:
		case <-s.exited:
			return "", fmt.Errorf("%s ended while starting (%v): %s", s.name, s.cmd.ProcessState, printed)
		case <-deadline:
			return "", fmt.Errorf("%s does not say where it serves: %s", s.name, printed)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// stop ends a server that was started: gracefully, else by force.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, or everywhere on Windows
	select {
	case <-s.exited:
		return nil
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s did not end in %v", s.name, patience)
	}
}

// workplace is a directory for servers that are started, removed at the end.
type workplace struct {
	dir     string
	servers []*server
}

func newWorkplace(parent string) (*workplace, error) {
	dir, err := os.MkdirTemp(parent, "tusd-bench-")
	return &workplace{dir: dir}, err
}

// start starts a server in a fresh directory.
func (w *workplace) start(ctx context.Context, name string, visit bool, command ...string) (*server, error) {
	dir := filepath.Join(w.dir, fmt.Sprint(len(w.servers)))
	if err := os.Mkdir(dir, 0o777); err != nil {
		return nil, err
	}
	return w.startIn(ctx, launch{name: name, command: command, dir: dir, visit: visit})
}

// startIn is start in a directory that exists.
func (w *workplace) startIn(ctx context.Context, l launch) (*server, error) {
	l.log = filepath.Join(w.dir, fmt.Sprintf("%d.log", len(w.servers)))
	s, err := start(ctx, l)
	if err == nil {
		w.servers = append(w.servers, s)
	}
	return s, err
}

// close stops the servers and removes everything.
func (w *workplace) close() error {
	var errs []error
	for _, s := range w.servers {
		errs = append(errs, s.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}
