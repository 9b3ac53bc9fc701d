// Package service is the S3 service that servers are measured on. It reads
// what it gets, as a service has to, and forgets the content of what is large:
// neither a disk nor its own memory is what is measured.
package service

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/child"
	"github.com/tus/tusd/internal/s3server"
)

// Command is the first argument that makes a program this service.
const Command = "serve-s3"

// The bucket that is there, and the credentials for it.
const (
	Bucket    = "bench"
	AccessKey = "bench"
	SecretKey = "bench"
	Region    = "us-east-1"
)

// forgotten is the size, in bytes, from which on contents are forgotten. The
// record of an upload with 10 000 parts is smaller.
const forgotten = 2 << 20

// Serve is the service as a process, until ctx ends: args are those behind
// Command. The address that it tells is its endpoint.
func Serve(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	latency := flags.Duration("latency", 0, "wait of each call between the end of its body and the answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return child.Serve(ctx, stdout, "", New(*latency))
}

// New returns a service each of whose calls takes that much longer.
func New(latency time.Duration) *s3server.Server {
	server := s3server.New(s3server.Options{Bucket: Bucket, AccessKey: AccessKey, Discard: forgotten})
	if latency > 0 {
		server.Fault(func(s3server.Call) s3server.Outcome { return s3server.Delay(latency) })
	}
	return server
}
