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

// processTimeout bounds how long a server may take to start or to stop.
const processTimeout = 30 * time.Second

// server is a server under load, and its process if that is known.
type server struct {
	name   string
	url    string // where it creates uploads
	target *load.Target
	pid    int  // 0: not known
	works  bool // also without requests

	cmd    *exec.Cmd // nil: not ours
	exited chan struct{}
	log    string // what it prints goes to this file
}

// launch says how to start a server.
type launch struct {
	name        string
	command     []string // without the directory
	env         []string // beside that of this process
	dir         string   // of the uploads; "": it gets none
	log         string   // file for what it prints
	works       bool     // server.works
	verifyInDir bool     // verify contents in the directory rather than by GET
}

// start starts a server and returns when it prints that it serves. Its output goes to a
// file, so that no process has to read it during the measurement.
func start(ctx context.Context, l launch) (*server, error) {
	log, err := os.Create(l.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{name: l.name, works: l.works, exited: make(chan struct{}), log: l.log}
	s.cmd = exec.Command(l.command[0], l.arguments()...)
	s.cmd.Env = append(os.Environ(), l.env...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	killWithParent(s.cmd)
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
	if l.verifyInDir {
		return l.dir
	}
	return ""
}

var startupLine = regexp.MustCompile(`You can now upload files to: (\S+)\n`)

// await reads the URL of the server from its output.
func (s *server) await(ctx context.Context) (url string, err error) {
	deadline := time.After(processTimeout)
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
			return "", fmt.Errorf("%s does not print its URL: %s", s.name, printed)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// stop ends a server that was started, by SIGTERM and then by SIGKILL.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, or everywhere on Windows
	select {
	case <-s.exited:
		return nil
	case <-time.After(processTimeout):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s did not end in %v", s.name, processTimeout)
	}
}

// workDir is a directory for servers that are started. It is removed at the end.
type workDir struct {
	dir     string
	servers []*server
}

func newWorkDir(parent string) (*workDir, error) {
	dir, err := os.MkdirTemp(parent, "tusd-bench-")
	return &workDir{dir: dir}, err
}

// start starts a server in a new directory.
func (w *workDir) start(ctx context.Context, name string, visit bool, command ...string) (*server, error) {
	return w.startNew(ctx, launch{name: name, command: command, verifyInDir: visit})
}

// startNew starts a server in a new directory, which it adds to l.
func (w *workDir) startNew(ctx context.Context, l launch) (*server, error) {
	l.dir = filepath.Join(w.dir, fmt.Sprint(len(w.servers)))
	if err := os.Mkdir(l.dir, 0o777); err != nil {
		return nil, err
	}
	return w.startIn(ctx, l)
}

// startIn starts a server in an existing directory.
func (w *workDir) startIn(ctx context.Context, l launch) (*server, error) {
	l.log = filepath.Join(w.dir, fmt.Sprintf("%d.log", len(w.servers)))
	s, err := start(ctx, l)
	if err == nil {
		w.servers = append(w.servers, s)
	}
	return s, err
}

// close stops the servers and removes everything.
func (w *workDir) close() error {
	var errs []error
	for _, s := range w.servers {
		errs = append(errs, s.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}
