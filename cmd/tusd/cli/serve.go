package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// serve runs the server until ctx ends or it fails. It listens before it does
// anything that may take long, so that clients of a restarted server wait for
// an answer rather than being refused.
func serve(ctx context.Context, cfg config, stdout io.Writer, logger *slog.Logger) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(cfg.listening.host, strconv.Itoa(int(cfg.listening.port))))
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer listener.Close()
	store, err := newStore(cfg.storage)
	if err != nil {
		return err
	}
	uploads, err := newHandler(cfg, store, logger)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	writeStartup(stdout, cfg, store, listener.Addr())
	err = serveUntil(ctx, newServer(cfg, uploads, logger), listener, uploads, cfg, logger)
	return errors.Join(err, store.Close())
}

func newServer(cfg config, uploads http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           site{basePath: cfg.listening.basePath, uploads: uploads},
		ReadHeaderTimeout: cfg.timeouts.network,
		IdleTimeout:       cfg.timeouts.idleTimeout(),
		// OPTIONS * is for us, too (IETF draft, Upload-Limit).
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// writeStartup tells where the server is. Scripts read the last line.
func writeStartup(stdout io.Writer, cfg config, store *filestore.FileStore, addr net.Addr) {
	port := strconv.Itoa(addr.(*net.TCPAddr).Port)
	fmt.Fprintf(stdout, "Uploads are stored in %s (durability: %v)\n", store.Path, store.Durability)
	fmt.Fprintf(stdout, "You can now upload files to: http://%s%s\n", net.JoinHostPort(cfg.listening.host, port), cfg.listening.basePath)
}

// serveUntil answers requests until ctx ends, then shuts down.
func serveUntil(ctx context.Context, server *http.Server, listener net.Listener, uploads *tusd.Handler, cfg config, logger *slog.Logger) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		server.Close()
		return fmt.Errorf("cannot accept connections any more: %w", err)
	case <-ctx.Done():
	}
	logger.Info("shutting down", "cause", context.Cause(ctx), "timeout", cfg.timeouts.shutdown)
	limited, cancel := context.WithTimeout(context.Background(), cfg.timeouts.shutdown)
	defer cancel()
	shutDown(limited, server, uploads, logger)
	return nil
}

// shutDown stops accepting, then has the handler end running uploads, keeping
// what has arrived, then waits for their answers. What is not done when ctx
// ends is cut; that is in the log, but no failure: the operator set the limit,
// and a cut upload can be resumed.
func shutDown(ctx context.Context, server *http.Server, uploads *tusd.Handler, logger *slog.Logger) {
	handler := make(chan error, 1)
	server.RegisterOnShutdown(func() { handler <- uploads.Shutdown(ctx) }) // called when the listener is closed
	err := errors.Join(server.Shutdown(ctx), <-handler)
	if err != nil {
		logger.Warn("requests that did not end in time are cut", "err", err)
		server.Close()
	}
	logger.Info("stopped")
}
