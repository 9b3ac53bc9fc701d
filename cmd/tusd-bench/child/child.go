// Package child runs a built-in server in its own process, which tusd-bench starts to
// read its CPU time.
package child

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Serve listens on a free port of 127.0.0.1, prints the same start-up line as tusd with
// path as the URL of uploads, and serves handler until ctx ends.
func Serve(ctx context.Context, stdout io.Writer, path string, handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	fmt.Fprintf(stdout, "You can now upload files to: http://%s%s\n", listener.Addr(), path)
	err = (&http.Server{Handler: handler}).Serve(listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
