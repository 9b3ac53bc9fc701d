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
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // as long as somebody listens it ends nothing
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

// reloadOnHangup reads the certificate again at every hangup until ctx ends. A
// signal that says "read your settings again" to many servers, and that comes
// when a terminal is closed, must not end uploads.
func (d *daemon) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			d.logger.Info("SIGHUP ends nothing: the certificate is read again, settings only at start")
			if d.certificates != nil {
				d.certificates.reload()
			}
		case <-ctx.Done():
			return
		}
	}
}
