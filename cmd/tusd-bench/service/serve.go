// Package service is the S3 service for measurements. It reads the content of calls like a
// real service, and discards large contents: neither its disk nor its memory affects the
// results.
package service

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/child"
	"github.com/tus/tusd/internal/s3server"
)

// Command is the first argument with which tusd-bench runs as this service.
const Command = "serve-s3"

// The bucket and its credentials.
const (
	Bucket    = "bench"
	AccessKey = "bench"
	SecretKey = "bench"
	Region    = "us-east-1"
)

// discardSize is the size, in bytes, above which contents are discarded. The record of an
// upload with 10 000 parts is smaller.
const discardSize = 2 << 20

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

// New returns a service that delays each call by latency.
func New(latency time.Duration) *s3server.Server {
	server := s3server.New(s3server.Options{Bucket: Bucket, AccessKey: AccessKey, Discard: discardSize})
	if latency > 0 {
		server.Fault(func(s3server.Call) s3server.Outcome { return s3server.Delay(latency) })
	}
	return server
}
