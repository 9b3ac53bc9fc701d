package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// UntilSignal returns a context that ends at the first SIGINT or SIGTERM. The
// second one calls exit(1) at once. The system's default action does nothing for a process
// with ID 1, such as the only process of a container. SIGPIPE is ignored: uploads continue
// if the reader of the log has ended. Call it once per process.
func UntilSignal(parent context.Context, exit func(code int)) context.Context {
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // a handled SIGHUP does not end the process
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

// reloadOnHangup reads the certificate again at every SIGHUP until ctx ends.
// SIGHUP means "read your settings again" to many servers, and also comes when
// a terminal is closed, so it must not end uploads.
func (d *daemon) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			d.logger.Info("SIGHUP does not stop the server: the certificate is read again, settings are read only at start")
			if d.certificates != nil {
				d.certificates.reload()
			}
		case <-ctx.Done():
			return
		}
	}
}
