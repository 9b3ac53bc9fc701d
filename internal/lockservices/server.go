//go:build linux

// Package lockservices runs lock services for tests: Redis, etcd and Consul, each on a
// free port of the loopback network.
//
//	server.go    a service that can be stopped and started again
//	services.go  how to start each, and when it is ready
//	link.go      a network to a service that can be cut
package lockservices

import (
	"bytes"
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a lock service. Its methods, except Addr and URL, are for the goroutine of
// the test: they end the test if the service does not start.
type Server struct {
	Name string // of the program

	tb      testing.TB
	address string
	scheme  string
	command func() *exec.Cmd
	ready   func(context.Context) error

	process *process // nil: stopped
}

// Addr returns the address of the service: host:port. It stays the same.
func (s *Server) Addr() string { return s.address }

// URL returns the address with the scheme that clients of the service use.
func (s *Server) URL() string { return s.scheme + "://" + s.address }

// Stop kills the service as kill -9 does, and returns when it has ended.
func (s *Server) Stop() {
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Start starts the service after Stop on the same address, and returns when it is
// ready. Redis begins without data; etcd and Consul have what they had.
func (s *Server) Start() {
	s.tb.Helper()
	p, err := startProcess(s.command())
	if err != nil {
		s.tb.Fatalf("%s: %v", s.Name, err)
	}
	s.process = p
	p.await(s.tb, s.ready)
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.Start()
}

// run starts the service for the first time. It runs until the test ends.
func (s *Server) run() *Server {
	s.tb.Helper()
	s.tb.Cleanup(s.Stop)
	s.Start()
	return s
}

// process is a running program.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when command has been waited for
	output  lockedBuffer
}

func startProcess(command *exec.Cmd) (*process, error) {
	p := &process{command: command, exited: make(chan struct{})}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stdout, command.Stderr = &p.output, &p.output
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		command.Wait()
	}()
	return p, nil
}

func (p *process) kill() {
	p.command.Process.Kill() // fails only if it has ended already
	<-p.exited
}

// startLimit bounds the time until a service is ready. It is long, for loaded machines.
const startLimit = 60 * time.Second

// await calls ready until it returns no error.
func (p *process) await(tb testing.TB, ready func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			tb.Fatalf("%s ended while starting: %v\n%s", p.command.Path, p.command.ProcessState, p.output.String())
		case <-ctx.Done():
			tb.Fatalf("%s is not ready after %v: %v\n%s", p.command.Path, startLimit, err, p.output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lockedBuffer collects the output of a program.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
