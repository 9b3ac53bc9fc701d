package cli

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// newHTTPServerLog returns the logger for what net/http does not tell its
// handler. Most lines are about what clients do, and have level INFO; the
// others are faults of the server.
func newHTTPServerLog(logger *slog.Logger) *log.Logger {
	return log.New(httpServerLog{logger}, "", 0)
}

type httpServerLog struct{ logger *slog.Logger }

// peerOf matches the peer that a line of net/http is about.
var peerOf = regexp.MustCompile(`(?: from|panic serving|from client) (\S+?:\d+):? `)

func (l httpServerLog) Write(line []byte) (int, error) {
	text := strings.TrimRight(string(line), "\n")
	var attrs []any
	if found := peerOf.FindStringSubmatch(text + " "); found != nil {
		if client, ok := clientAt(found[1]); ok {
			attrs = append(attrs, "client", client)
		}
	}
	l.logger.Log(context.Background(), serverLevel(text), text, attrs...)
	return len(line), nil
}

// serverLevel returns the level for a line of net/http.
func serverLevel(text string) slog.Level {
	switch {
	case strings.Contains(text, "panic serving"):
		return slog.LevelError
	case strings.HasPrefix(text, "http: Accept error"),
		strings.Contains(text, "WriteHeader"), strings.Contains(text, "response.Write"), strings.Contains(text, "invalid Content-Length of"):
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func clientAt(hostPort string) (string, bool) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", false
	}
	addr, err := netip.ParseAddr(host)
	return addr.Unmap().WithZone("").String(), err == nil
}
