package bare

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Command is the first argument that makes a program this server.
const Command = "serve-bare"

// Serve is the bare server as a process: args are those behind Command. It
// listens on a free port of 127.0.0.1, says where on stdout in tusd's words,
// and runs until ctx ends.
func Serve(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	dir := flags.String("upload-dir", "", "`directory` of the uploads")
	syncs := flags.Bool("sync", false, "sync what is written")
	if err := flags.Parse(args); err != nil {
		return err
	}
	handler, err := NewHandler(*dir, *syncs)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	fmt.Fprintf(stdout, "You can now upload files to: http://%s%s\n", listener.Addr(), BasePath)
	err = (&http.Server{Handler: handler}).Serve(listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
