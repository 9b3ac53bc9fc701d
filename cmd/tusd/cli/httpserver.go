package cli

import (
	"log/slog"
	"net/http"
	"time"
)

// How many bytes HTTP/2 clients may send before the handler reads them. An
// upload moves one window per round trip; with the 1 MiB of net/http it would be
// slower than HTTP/1.1 on all but local networks. The window of the connection
// is larger than that of a stream, so that one stalled upload does not stop the
// others. unreadBudget bounds the memory of bytes that are not read yet.
//
// The documentation of net/http asks for less than 4 MiB, its code for less
// than 2 GiB; a test measures what holds.
const (
	streamWindow     = 16 << 20
	connectionWindow = 20 << 20
)

// maxStreams is how many requests one HTTP/2 connection may have open. As many
// handlers run for it, also for streams that the client has reset, and up to
// four times as many requests wait for them.
const maxStreams = 100

// frameSize is the size of the largest frame. Each connection keeps memory for
// one; the default of net/http is 1 MiB.
const frameSize = 16 << 10

// A client of HTTP/2 that sends nothing for pingAfter gets a PING, and has
// pingTimeout to answer. It cannot answer in the middle of a header, so no header
// takes longer.
const (
	pingAfter   = time.Minute
	pingTimeout = 30 * time.Second
)

// headerMargin is how many more bytes net/http accepts than the limit of the
// handler, so that the handler answers.
const headerMargin = 64 << 10

// unlimited stands for no limit. With 0 net/http would make the timers of an
// HTTP/2 stream only at its first deadline: a deadline that is set just when
// the client resets the stream keeps the stream in memory until it passes.
const unlimited = 10 * 365 * 24 * time.Hour

// newServer returns a server for the uploads, or for the admin pages. It has no
// timeout for a whole request: an upload may take days, and the handler ends
// those without progress.
func newServer(cfg config, handler http.Handler, logger *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS
	protocols.SetUnencryptedHTTP2(cfg.listening.enableH2C)
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: cfg.timeouts.network,
		ReadTimeout:       unlimited,
		WriteTimeout:      unlimited,
		IdleTimeout:       cfg.timeouts.idleTimeout(),
		MaxHeaderBytes:    cfg.limits.maxHeaderSize + headerMargin,
		Protocols:         &protocols,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxConcurrentStreams:          maxStreams,
			// A deadline resets the stream, and the reset needs the connection.
			WriteByteTimeout: 2 * cfg.timeouts.network,
			MaxReadFrameSize: frameSize,
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
		},
		// The handler answers OPTIONS * (IETF draft, Upload-Limit).
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     newHTTPServerLog(logger),
	}
}
