package cli

import (
	"log/slog"
	"net/http"
	"time"
)

// What HTTP/2 clients may send ahead of what the handler has read. An upload
// moves as much per round trip as its stream may be ahead; net/http's 1 MiB
// would make it slower than HTTP/1.1 on any path that is longer than a room.
// The window of the connection is larger than that of a stream so that one
// stalled upload leaves room for others beside it. What windows let through is
// in memory until it is read; unreadBudget bounds that.
//
// The documentation of net/http asks for less than 4 MiB, its code for less
// than 2 GiB; a test measures what holds.
const (
	streamWindow     = 16 << 20
	connectionWindow = 20 << 20
)

// maxStreams is how many requests one HTTP/2 connection may have open. That many
// handlers run for it, also for streams that their client has reset, and up to
// four times as many requests wait for one of these.
const maxStreams = 100

// frameSize is that of the largest frame. Each connection keeps memory for one,
// whether it comes or not; net/http would take 1 MiB.
const frameSize = 16 << 10

// A client of HTTP/2 that sends nothing for pingAfter is asked whether it is there,
// and has pingTimeout to answer. One that is in the middle of a head cannot, so no
// head takes longer.
const (
	pingAfter   = time.Minute
	pingTimeout = 30 * time.Second
)

// headerMargin is by how much net/http lets a header be larger than the
// handler's limit: up to there the answer is the handler's.
const headerMargin = 64 << 10

// unlimited is no limit, but not what net/http takes for none either. It makes
// the timers of an HTTP/2 stream with the stream, and stops them when it ends.
// Without a limit of the server, the first deadline makes the timer: one that
// is set just when the client resets the stream keeps it in memory until it
// passes.
const unlimited = 10 * 365 * 24 * time.Hour

// newServer makes the server for the uploads and for what operators look at.
// It has no time limit for a whole request: an upload takes as long as it
// takes, and the handler ends those that make no progress.
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
			// Deadlines of a stream reset it, which needs the connection.
			WriteByteTimeout: 2 * cfg.timeouts.network,
			MaxReadFrameSize: frameSize,
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
		},
		// OPTIONS * is for us, too (IETF draft, Upload-Limit).
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     newHTTPServerLog(logger),
	}
}
