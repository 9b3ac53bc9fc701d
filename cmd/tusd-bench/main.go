// Command tusd-bench puts load on a server of tus 1.0, verifies what it stores, and compares
// it with a minimal server. docs/benchmarks.md describes how to run it and how to read its
// report.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tus/tusd/cmd/tusd-bench/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := bench.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
