// Package lockservices runs lock services for tests: Redis, etcd and Consul, each on a
// free port of the loopback network.
//
//	server.go    a service that can be stopped and started again
//	services.go  how to start each, and when it is ready
//	link.go      a network to a service that can be cut
//	bench.go     benchmarks of lockers, the same for each service
package lockservices

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/tus/tusd/internal/loopback"
)

// Server is a lock service. Its methods, except Addr and URL, are for the goroutine of
// the test: they end the test if the service does not start.
type Server struct {
	Name string // of the program

	tb      testing.TB
	address string
	scheme  string
	dir     string // of its data
	command func() *exec.Cmd
	ready   func(context.Context) error

	program *loopback.Program // the last one that was started
}

// Addr returns the address of the service: host:port. It stays the same.
func (s *Server) Addr() string { return s.address }

// URL returns the address with the scheme that clients of the service use.
func (s *Server) URL() string { return s.scheme + "://" + s.address }

// Stop kills the service as kill -9 does, and returns when it has ended.
func (s *Server) Stop() { s.program.Kill() }

// Start starts the service after Stop on the same address, and returns when it is
// ready. Redis begins without data; etcd and Consul have what they had.
func (s *Server) Start() {
	s.tb.Helper()
	s.program = loopback.Run(s.tb, s.command())
	s.program.Await(s.tb, s.ready)
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.Start()
}

// Wipe removes the data of etcd or Consul, which must be stopped.
func (s *Server) Wipe() {
	s.tb.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		s.tb.Fatal(err)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		s.tb.Fatal(err)
	}
}

// run starts the service for the first time. It runs until the test ends.
func (s *Server) run() *Server {
	s.tb.Helper()
	s.Start()
	return s
}
