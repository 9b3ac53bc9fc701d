package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/tus/tusd"
)

// daemon is the server with all that belongs to it. Its fields from pidFile on
// are filled by open.
type daemon struct {
	cfg    config
	stdout io.Writer
	logger *slog.Logger
	queue  *logQueue // behind logger

	pidFile      *pidFile // nil: none
	sockets      []socket
	admin        *socket       // nil: what operators look at is beside the uploads
	certificates *certificates // nil: no TLS
	backend      backend
	uploads      *tusd.Handler
	server       *http.Server
	overseer     *http.Server // at admin
	farewell     *farewell    // for connections beyond the limit

	connections openConnections
	heads       heads
	stopping    chan struct{} // closed when the end begins
}

// serve runs the server until ctx ends or it fails.
func (d *daemon) serve(ctx context.Context) error {
	d.stopping = make(chan struct{})
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	err := d.open()
	if err == nil {
		d.writeStartup()
		go d.heedHangups(ctx, hangups)
		err = d.run(ctx)
	}
	return errors.Join(err, d.close())
}

// open does everything before the first request is answered. It listens before
// it does anything that may take long, so that clients of a restarted server
// wait for an answer rather than being refused.
func (d *daemon) open() (err error) {
	if pair := d.cfg.tls; pair.enabled() {
		if d.certificates, err = newCertificates(pair.certificate, pair.key, d.logger); err != nil {
			return err
		}
	}
	if path := d.cfg.pidFile; path != "" {
		if d.pidFile, err = writePIDFile(path); err != nil {
			return err
		}
	}
	if d.sockets, err = d.cfg.listen(); err != nil {
		return err
	}
	if d.admin, err = d.cfg.monitoring.listen(); err != nil {
		return err
	}
	if d.backend, err = newBackend(d.cfg, d.logger); err != nil {
		return err
	}
	if d.uploads, err = tusd.NewHandler(handlerConfig(d.cfg, d.backend.composer(), d.logger)); err != nil {
		return err
	}
	d.makeServers()
	return nil
}

func (d *daemon) makeServers() {
	mounts := d.mounts()
	main := site{
		basePath: d.cfg.listening.basePath, uploads: d.uploads,
		mounts: mounts, noGreeting: !d.cfg.monitoring.showGreeting,
	}
	if d.admin != nil {
		main.mounts = nil
		d.overseer = newServer(d.cfg, adminSite(mounts), d.logger)
	}
	d.server = newServer(d.cfg, d.heads.bound(main, d.refuseHead), d.logger)
	d.server.ConnState = d.follow
	d.farewell = newFarewell(func(w http.ResponseWriter, r *http.Request) {
		d.uploads.Refuse(w, r, tusd.ErrTooManyConnections)
	}, d.cfg, d.logger)
}

func (d *daemon) refuseHead(w http.ResponseWriter, r *http.Request) {
	d.uploads.Refuse(w, r, tusd.ErrTooManyRequests)
}

// follow is told what becomes of the connections of server.
func (d *daemon) follow(conn net.Conn, state http.ConnState) {
	d.connections.follow(conn, state)
	d.heads.follow(conn, state)
}

// run answers requests until ctx ends or one of the listeners fails, then
// shuts down.
func (d *daemon) run(ctx context.Context) error {
	failed := make(chan error, len(d.sockets)+1)
	for _, listener := range d.guarded() {
		go func() { failed <- d.server.Serve(listener) }()
	}
	if d.admin != nil {
		go func() { failed <- d.overseer.Serve(&patientListener{Listener: d.admin, log: d.logger}) }()
	}
	notify(systemd.SdNotifyReady, d.logger)
	go feedWatchdog(ctx, d.logger)
	var failure error
	select {
	case err := <-failed:
		failure = fmt.Errorf("cannot accept connections any more: %w", err)
		d.end(failure)
	case <-ctx.Done():
		d.end(context.Cause(ctx))
	}
	return failure
}

// end shuts down for a reason, within the time there is for that.
func (d *daemon) end(cause error) {
	close(d.stopping)
	notify(systemd.SdNotifyStopping, d.logger)
	d.logger.Info("shutting down", "cause", cause, "timeout", d.cfg.timeouts.shutdown)
	limited, cancel := context.WithTimeout(context.Background(), d.cfg.timeouts.shutdown)
	defer cancel()
	d.shutDown(limited)
}

// guarded are the listeners with the limit on connections, and TLS if that is
// asked for.
func (d *daemon) guarded() []net.Listener {
	refused := d.uploads.Metrics().LimitsExceeded["connections_per_client"]
	limit := newConnectionLimit(d.cfg.limits.maxConnectionsPerClient, d.uploads.LimitedClient, refused, d.logger)
	var listeners []net.Listener
	for _, s := range d.sockets {
		bounded := &patientListener{Listener: boundUnsent(s), log: d.logger}
		if d.certificates == nil {
			listeners = append(listeners, d.heads.guard(limit.guard(bounded, d.farewell.refuse)))
		} else {
			guarded := d.heads.guard(limit.guard(bounded, refuseTLS))
			listeners = append(listeners, tls.NewListener(guarded, newTLSConfig(d.cfg.tls.mode, d.certificates)))
		}
	}
	return listeners
}

// shutDown stops accepting, then has the handler end running uploads, keeping
// what has arrived, then waits for their answers. What is not done when ctx
// ends is cut; that is in the log, but no failure: the operator set the limit,
// and a cut upload can be resumed.
func (d *daemon) shutDown(ctx context.Context) {
	handler := make(chan error, 1)
	d.connections.closeAllSilent()
	d.server.RegisterOnShutdown(func() { handler <- d.uploads.Shutdown(ctx) }) // called when the listeners are closed
	err := errors.Join(d.server.Shutdown(ctx), <-handler)
	if err != nil {
		d.logger.Warn("requests that did not end in time are cut", "err", err)
		d.server.Close()
	}
	d.logger.Info("stopped")
}

// close gives back what open has taken, as far as it got.
func (d *daemon) close() error {
	if d.overseer != nil {
		d.overseer.Close() // to the last it told how things are
	}
	if d.farewell != nil {
		d.farewell.close()
	}
	for _, s := range d.sockets {
		s.Close() // a second time, usually
	}
	if d.admin != nil {
		d.admin.Close()
	}
	var errs []error
	if d.backend != nil {
		errs = append(errs, d.backend.close())
	}
	if d.pidFile != nil {
		errs = append(errs, d.pidFile.remove())
	}
	return errors.Join(errs...)
}
