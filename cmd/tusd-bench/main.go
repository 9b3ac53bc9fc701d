// Command tusd-bench drives a server of tus 1.0, verifies what it keeps, and
// compares it with the least that its work takes. docs/benchmarks.md says how
// to run it and how to read what it prints.
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
