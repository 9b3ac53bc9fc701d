package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// UntilSignal returns a context that ends at the first SIGINT or SIGTERM. The
// second one calls exit(1) at once. Both are handled here rather than left to
// the system's default, which does nothing for a process with id 1, as the
// only one of a container is. SIGPIPE is ignored: that nobody reads the log any
// more is no reason to end uploads. To be called once per process.
func UntilSignal(parent context.Context, exit func(code int)) context.Context {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(fmt.Errorf("signal: %v", <-signals))
		<-signals
		exit(exitFailed)
	}()
	return ctx
}
