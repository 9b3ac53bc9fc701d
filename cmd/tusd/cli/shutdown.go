package cli

import (
	"context"
	"errors"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// shutDownFor shuts down because of cause, within -shutdown-timeout.
func (d *daemon) shutDownFor(cause error) {
	close(d.stopping)
	d.sweeper.cancel()
	notify(systemd.SdNotifyStopping, d.logger)
	d.logger.Info("shutting down", "cause", cause, "timeout", d.cfg.timeouts.shutdown)
	limited, cancel := context.WithTimeout(context.Background(), d.cfg.timeouts.shutdown)
	defer cancel()
	d.shutDown(limited)
}

// shutDown does this, in order: it stops accepting connections; the handler
// ends running uploads and keeps what has arrived; it waits for their answers.
// Pages, and answers whose clients do not read, are cut. Whatever is not done
// when ctx ends is cut, too: that is logged, and no failure, because a cut
// upload can be resumed.
func (d *daemon) shutDown(ctx context.Context) {
	handler := make(chan error, 1)
	d.connections.closeAllSilent()
	d.server.RegisterOnShutdown(func() { // called when the listeners are closed
		d.pages.Close()
		handler <- d.uploads.Shutdown(ctx)
	})
	stuck, cancel := context.WithCancel(ctx)
	defer cancel()
	go d.stalled.closeStalled(stuck)
	go d.closeWithoutUploads(stuck)
	err := errors.Join(d.server.Shutdown(ctx), <-handler)
	if err != nil {
		d.logger.Warn("requests that did not end in time are cut", "err", err)
		d.server.Close()
	}
	if err := d.sweeper.wait(ctx); err != nil {
		d.logger.Warn("a sweep did not end in time", "err", err)
	}
	d.logger.Info("stopped")
}

// drainTime is how long connections may take to end after the last request for
// an upload: HTTP/2 needs a second.
const drainTime = 2 * time.Second

// closeWithoutUploads closes the server, even with other requests running, when
// no request for an upload has been served for drainTime.
func (d *daemon) closeWithoutUploads(ctx context.Context) {
	tick := time.NewTicker(drainTime / 20)
	defer tick.Stop()
	for since := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if d.uploads.Metrics().RequestsInFlight.Load() > 0 {
				since = now
			} else if now.Sub(since) > drainTime {
				d.server.Close()
				return
			}
		}
	}
}

// close releases what open has opened, as far as it came. The admin server is
// closed before the storage, and after the shutdown, so that health checks are
// answered until then.
func (d *daemon) close() error {
	if d.adminServer != nil {
		d.adminServer.Close()
	}
	for _, s := range d.sockets {
		s.Close() // usually closed already
	}
	if d.admin != nil {
		d.admin.Close()
	}
	var errs []error
	if d.hooks != nil {
		errs = append(errs, d.hooks.Close())
	}
	if d.composition != nil {
		errs = append(errs, d.composition.close())
	}
	if d.pidFile != nil {
		errs = append(errs, d.pidFile.remove())
	}
	return errors.Join(errs...)
}
