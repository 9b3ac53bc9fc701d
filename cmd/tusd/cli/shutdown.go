package cli

import (
	"context"
	"errors"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// shutDownFor shuts down for a reason, within the time there is for that.
func (d *daemon) shutDownFor(cause error) {
	close(d.stopping)
	notify(systemd.SdNotifyStopping, d.logger)
	d.logger.Info("shutting down", "cause", cause, "timeout", d.cfg.timeouts.shutdown)
	limited, cancel := context.WithTimeout(context.Background(), d.cfg.timeouts.shutdown)
	defer cancel()
	d.shutDown(limited)
}

// shutDown stops accepting, then has the handler end running uploads, keeping
// what has arrived, then waits for their answers. Pages are cut, as are answers
// that their clients do not take. What is not done when ctx ends is cut, too;
// that is in the log, but no failure: the operator set the limit, and a cut
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
	d.logger.Info("stopped")
}

// drainTime is how long connections may take to end when no request on an
// upload is being served any more: HTTP/2 needs a second.
const drainTime = 2 * time.Second

// closeWithoutUploads closes the server, whatever else it does, when no request
// on an upload has been served for drainTime.
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

// close gives back what open has taken, as far as it got.
func (d *daemon) close() error {
	if d.adminServer != nil {
		d.adminServer.Close() // to the last it told how things are
	}
	for _, s := range d.sockets {
		s.Close() // a second time, usually
	}
	if d.admin != nil {
		d.admin.Close()
	}
	var errs []error
	if d.composition != nil {
		errs = append(errs, d.composition.close())
	}
	if d.pidFile != nil {
		errs = append(errs, d.pidFile.remove())
	}
	return errors.Join(errs...)
}
