// Package endpoint is the HTTP endpoint of hooks for measurements. It agrees to everything,
// after a time or never.
package endpoint

import (
	"context"
	"flag"
	"io"
	"net/http"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/child"
)

// Command is the first argument with which tusd-bench runs as this endpoint.
const Command = "serve-hooks"

// Serve is the endpoint as a process, until ctx ends: args are those behind Command. The
// address that it tells is its URL.
func Serve(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	delay := flags.Duration("delay", 0, "time until an answer")
	hang := flags.Bool("hang", false, "never answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *hang {
		return child.Serve(ctx, stdout, "", http.HandlerFunc(neverAnswer))
	}
	return child.Serve(ctx, stdout, "", After(*delay))
}

// neverAnswer returns when the caller has gone.
func neverAnswer(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // a caller that goes is noticed only behind the body
	<-r.Context().Done()
}

// After returns a handler that answers after delay.
func After(delay time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(delay)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	})
}
