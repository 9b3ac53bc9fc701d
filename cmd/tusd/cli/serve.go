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

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/tus/tusd"
)

// serve runs the server until ctx ends or it fails. It listens before it does
// anything that may take long, so that clients of a restarted server wait for
// an answer rather than being refused.
func serve(ctx context.Context, cfg config, stdout io.Writer, logger *slog.Logger) error {
	tlsConfig, err := newTLSConfig(cfg.tls, logger)
	if err != nil {
		return err
	}
	sockets, err := cfg.listen()
	if err != nil {
		return err
	}
	defer closeAll(sockets)
	backend, err := newBackend(cfg.storage)
	if err != nil {
		return err
	}
	uploads, err := newHandler(cfg, backend, logger)
	if err != nil {
		return errors.Join(err, backend.close())
	}
	d := &daemon{cfg: cfg, logger: logger, uploads: uploads, sockets: sockets, tls: tlsConfig}
	d.server = newServer(cfg, site{basePath: cfg.listening.basePath, uploads: uploads, noGreeting: !cfg.monitoring.showGreeting}, logger)
	writeStartup(stdout, cfg, backend, sockets)
	return errors.Join(d.run(ctx), backend.close())
}

// daemon is a server that is running.
type daemon struct {
	cfg     config
	logger  *slog.Logger
	uploads *tusd.Handler
	server  *http.Server
	sockets []socket
	tls     *tls.Config // nil: none
}

// run answers requests until ctx ends, then shuts down.
func (d *daemon) run(ctx context.Context) error {
	failed := make(chan error, len(d.sockets))
	for _, listener := range d.guarded() {
		go func() { failed <- d.server.Serve(listener) }()
	}
	notify(systemd.SdNotifyReady, d.logger)
	go feedWatchdog(ctx, d.logger)
	select {
	case err := <-failed:
		d.server.Close()
		return fmt.Errorf("cannot accept connections any more: %w", err)
	case <-ctx.Done():
	}
	notify(systemd.SdNotifyStopping, d.logger)
	d.logger.Info("shutting down", "cause", context.Cause(ctx), "timeout", d.cfg.timeouts.shutdown)
	limited, cancel := context.WithTimeout(context.Background(), d.cfg.timeouts.shutdown)
	defer cancel()
	d.shutDown(limited)
	return nil
}

// guarded are the listeners with the limit on connections, and TLS if that is
// asked for.
func (d *daemon) guarded() []net.Listener {
	limit := newConnectionLimit(d.cfg.limits.maxConnectionsPerClient, d.cfg.listening, d.uploads.Metrics().LimitsExceeded["connections_per_client"])
	var listeners []net.Listener
	for _, s := range d.sockets {
		if d.tls == nil {
			listeners = append(listeners, limit.guard(s, refusePlain))
		} else {
			listeners = append(listeners, tls.NewListener(limit.guard(s, refuseTLS), d.tls))
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
	d.server.RegisterOnShutdown(func() { handler <- d.uploads.Shutdown(ctx) }) // called when the listeners are closed
	err := errors.Join(d.server.Shutdown(ctx), <-handler)
	if err != nil {
		d.logger.Warn("requests that did not end in time are cut", "err", err)
		d.server.Close()
	}
	d.logger.Info("stopped")
}

// writeStartup tells where the server is. Scripts read the last line.
func writeStartup(stdout io.Writer, cfg config, b *backend, sockets []socket) {
	if !cfg.output.showStartupLogs {
		return
	}
	fmt.Fprintf(stdout, "Uploads are stored in %s (durability: %v)\n", b.store.Path, b.store.Durability)
	scheme := "http"
	if cfg.tls.enabled() {
		scheme = "https"
	}
	for _, s := range sockets {
		if s.host == "" {
			fmt.Fprintf(stdout, "Uploads are received on the Unix socket %v\n", s.Addr())
		}
	}
	for _, s := range sockets {
		if s.host != "" {
			fmt.Fprintf(stdout, "You can now upload files to: %s://%s%s\n", scheme, s.host, cfg.listening.basePath)
		}
	}
}
