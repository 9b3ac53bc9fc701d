package lockertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/tus/tusd"
)

// Serve lets another process use locker: it reads commands from in, one per line, and
// answers each with a line to out. It returns at the end of in. A test binary that was
// started by Harness.Process calls it in TestMain with os.Stdin and os.Stdout.
func Serve(locker tusd.Locker, in io.Reader, out io.Writer) error {
	s := &server{locker: locker, out: out, leases: make(map[string]tusd.Lease)}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := s.command(strings.Fields(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

// server runs the commands in the child.
type server struct {
	locker tusd.Locker
	leases map[string]tusd.Lease // held, by id

	mu  sync.Mutex
	out io.Writer
}

// command runs "lock MODE ID", "unlock ID" or "check ID". The answer is "granted",
// "unlocked", "valid" or "lost", or "error" and its text. The line "preempted" may come at any time while a lock is held.
func (s *server) command(words []string) error {
	switch {
	case len(words) == 3 && words[0] == "lock":
		mode, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return s.lock(words[2], tusd.LockMode(mode))
	case len(words) == 2 && words[0] == "unlock":
		lease := s.leases[words[1]]
		if lease == nil {
			return fmt.Errorf("no lease on %s", words[1])
		}
		return s.answer("unlocked", lease.Unlock(context.Background()))
	case len(words) == 2 && words[0] == "check":
		err := tusd.CheckLease(context.Background(), s.leases[words[1]])
		if errors.Is(err, tusd.ErrLockLost) {
			return s.answer("lost", nil)
		}
		return s.answer("valid", err)
	}
	return fmt.Errorf("unknown command %q", words)
}

func (s *server) lock(id string, mode tusd.LockMode) error {
	lease, err := s.locker.Lock(context.Background(), id, mode)
	if err != nil {
		return s.answer("", err)
	}
	s.leases[id] = lease
	if err := s.answer("granted", nil); err != nil {
		return err
	}
	go func() {
		select {
		case <-lease.Preempted():
			s.answer("preempted", nil) // an error means that the parent has ended
		case <-lease.Context().Done():
		}
	}()
	return nil
}

func (s *server) answer(word string, err error) error {
	if err != nil {
		word = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = fmt.Fprintln(s.out, word)
	return err
}

// child is a process that runs Serve, for the parent.
type child struct {
	e      *env
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string // closed at the end of the process's output
	exited bool
}

// start starts a process that shares the lockers' service. It is killed at the end of the
// test.
func (e *env) start() *child {
	e.Helper()
	c := &child{e: e, cmd: e.harness.Process(e.TB, e.lockers), lines: make(chan string, 16)}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		e.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		e.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		e.Fatalf("start a process: %v", err)
	}
	c.in = in
	go func() {
		defer close(c.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			c.lines <- scan.Text()
		}
	}()
	e.Cleanup(c.kill)
	return c
}

// send sends a command to the process.
func (c *child) send(words ...string) {
	c.e.Helper()
	if _, err := fmt.Fprintln(c.in, strings.Join(words, " ")); err != nil {
		c.e.Fatalf("send %q to the process: %v", words, err)
	}
}

// expect waits for the process's next answer.
func (c *child) expect(want string) {
	c.e.Helper()
	got, ok := wait(c.e, c.lines)
	if !ok || got != want {
		c.e.Fatalf("the process answers %q, want %q", got, want)
	}
}

// wantNoOutput checks that the process has written nothing.
func (c *child) wantNoOutput() {
	c.e.Helper()
	select {
	case line := <-c.lines:
		c.e.Fatalf("the process has written %q", line)
	default:
	}
}

func (c *child) lock(id string, mode tusd.LockMode) {
	c.e.Helper()
	c.send("lock", strconv.Itoa(int(mode)), id)
}

// kill ends the process at once, as kill -9 does.
func (c *child) kill() {
	if c.exited {
		return
	}
	c.exited = true
	if err := c.cmd.Process.Kill(); err != nil {
		c.e.Errorf("kill the process: %v", err)
	}
	for range c.lines { // until its output has ended
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		c.e.Errorf("wait for the process: %v", err)
	}
}
