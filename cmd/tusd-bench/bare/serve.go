package bare

import (
	"context"
	"flag"
	"io"

	"github.com/tus/tusd/cmd/tusd-bench/child"
)

// Command is the first argument with which tusd-bench runs as this server.
const Command = "serve-bare"

// Serve runs the bare server until ctx ends. args are the arguments behind
// Command.
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
	return child.Serve(ctx, stdout, BasePath, handler)
}
