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
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/internal/front"
	"github.com/tus/tusd/internal/guard"
)

// daemon is the server with everything that belongs to it. open fills the
// fields from pidFile on.
type daemon struct {
	cfg    config
	stdout io.Writer
	logger *slog.Logger
	queue  *logQueue // behind logger

	pidFile      *pidFile // nil: none
	sockets      []socket
	admin        *socket       // nil: server also serves the admin pages
	certificates *certificates // nil: no TLS
	composition  *composition
	hooks        *hooks.Hooks // nil: none
	uploads      *tusd.Handler
	server       *http.Server
	adminServer  *http.Server // at admin
	pages        *guard.Guard // around the pages that server serves beside the uploads
	readiness    *readiness

	connections openConnections
	limit       *connectionLimit
	headers     headerBudget
	stalled     stalledWrites
	unread      unreadBudget
	stopping    chan struct{} // closed when the shutdown begins
	sweeper     sweeper
}

// serve runs the server until ctx ends or it fails.
func (d *daemon) serve(ctx context.Context) error {
	d.stopping = make(chan struct{})
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	err := d.open(ctx)
	switch {
	case err == nil:
		d.writeStartup()
		go d.reloadOnHangup(ctx, hangups)
		err = d.run(ctx)
	case errors.Is(err, errStartCancelled):
		d.logger.Info("shutting down before the start was done", "cause", context.Cause(ctx))
		err = nil
	}
	return errors.Join(err, d.close())
}

// open does all steps before the first request is answered. It listens before the slow
// steps, so that clients of a restarted server wait instead of being refused. ctx cancels
// only the slow steps.
func (d *daemon) open(ctx context.Context) (err error) {
	if pair := d.cfg.tls; pair.enabled() {
		if d.certificates, err = newCertificates(pair.certificate, pair.key, d.logger); err != nil {
			return withAdvice(err, ".")
		}
	}
	if path := d.cfg.pidFile; path != "" {
		if d.pidFile, err = writePIDFile(path); err != nil {
			return withAdvice(err, ".")
		}
	}
	if d.sockets, err = d.cfg.listen(); err != nil {
		return err
	}
	if d.admin, err = d.cfg.monitoring.listen(); err != nil {
		return err
	}
	if d.composition, err = compose(d.cfg, d.logger); err != nil {
		return err
	}
	if d.hooks, err = d.cfg.hooks.open(ctx, d.logger); err != nil {
		if ctx.Err() != nil {
			return errStartCancelled
		}
		return withAdvice(err, ".")
	}
	if err = d.openStore(ctx); err != nil {
		return err
	}
	d.makeServers()
	return nil
}

func (d *daemon) makeServers() {
	d.pages = guard.New(d.cfg.timeouts.network)
	var routes []route
	if d.admin == nil {
		routes = d.adminRoutes(d.pages)
	} else {
		pages := guard.New(d.cfg.timeouts.network) // a shutdown does not close it
		d.adminServer = newServer(d.cfg, newAdminMux(pages, d.adminRoutes(pages)), d.logger)
		limitHTTP2Idle(d.adminServer)
	}
	main := newPublicMux(d.pages, d.cfg.listening.basePath, d.uploads, routes, d.cfg.monitoring.showGreeting)
	client := func(addr netip.Addr) netip.Prefix { return front.Client(d.uploads, addr) }
	d.limit = newConnectionLimit(d.cfg.limits.maxConnectionsPerClient, client, front.CountRefused(d.uploads), d.logger)
	handler := d.limit.handler(func(w http.ResponseWriter, r *http.Request) { front.RefuseConnection(d.uploads, w, r) }, main)
	d.server = newServer(d.cfg, d.headers.handler(handler), d.logger)
	d.server.ConnState = d.follow
	d.unread.attach(d.server)
	d.server.ConnContext = connContext
	limitHTTP2Idle(d.server)
}

// connContext adds the connections of the listeners to the context of requests.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	return withUnreadConn(withHeaderConn(withRefusal(ctx, conn), conn), conn)
}

// follow is the ConnState of server.
func (d *daemon) follow(conn net.Conn, state http.ConnState) {
	d.connections.follow(conn, state)
	d.headers.follow(conn, state)
}

// run answers requests until ctx ends or a listener fails, then shuts down.
func (d *daemon) run(ctx context.Context) error {
	failed := make(chan error, len(d.sockets)+1)
	for _, listener := range d.limitedListeners() {
		go func() { failed <- d.server.Serve(listener) }()
	}
	if d.admin != nil {
		go func() { failed <- d.adminServer.Serve(&retryListener{Listener: d.admin, log: d.logger}) }()
	}
	notify(systemd.SdNotifyReady, d.logger)
	go feedWatchdog(ctx, d.logger)
	go releaseMemory(ctx, d.connections.ended)
	go d.readiness.checkAtStart(ctx)
	d.startSweeper()
	var failure error
	select {
	case err := <-failed:
		failure = fmt.Errorf("cannot accept connections any more: %w", err)
		d.shutDownFor(failure)
	case <-ctx.Done():
		d.shutDownFor(context.Cause(ctx))
	}
	return failure
}

// limitedListeners returns the listeners with the limit on connections, and
// with TLS if it is configured.
func (d *daemon) limitedListeners() []net.Listener {
	var listeners []net.Listener
	for _, s := range d.sockets {
		bounded := &retryListener{Listener: boundUnsent(s), log: d.logger}
		listener := d.guardedListener(d.limit.listener(bounded, d.certificates == nil))
		if d.certificates != nil {
			listener = tls.NewListener(listener, newTLSConfig(d.cfg.tls.mode, d.certificates))
		}
		listeners = append(listeners, listener)
	}
	return listeners
}

// guardedListener returns a listener whose connections share the memory
// budgets, and are closed at a shutdown if their writes stall.
func (d *daemon) guardedListener(inner net.Listener) net.Listener {
	return d.headers.listener(d.unread.listener(d.stalled.listener(inner)))
}
