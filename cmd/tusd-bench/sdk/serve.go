package sdk

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/tus/tusd/cmd/tusd-bench/child"
)

// Command is the first argument with which tusd-bench runs as one of these servers.
const Command = "serve-sdk"

// How a server handles content.
const (
	Relay  = "relay"  // the uploader reads it from the request
	Memory = "memory" // the uploader reads it from memory; requests only have the number of bytes
	Drop   = "drop"   // it is received and discarded, without an uploader
)

// Serve is a server as a process, until ctx ends: args are those behind
// Command.
func Serve(ctx context.Context, args []string, stdout io.Writer) error {
	var s Settings
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	content := flags.String("content", "", Relay+", "+Memory+" or "+Drop)
	flags.StringVar(&s.Endpoint, "s3-endpoint", "", "`URL` of the service")
	flags.Int64Var(&s.PartSize, "s3-part-size", 50<<20, "size of parts in `bytes`")
	flags.IntVar(&s.Parts, "s3-concurrent-part-uploads", 10, "`number` of parts of an upload that are sent at the same time")
	flags.BoolVar(&s.WithoutHash, "s3-disable-content-hashes", false, "sign without the SHA-256 of the content")
	if err := flags.Parse(args); err != nil {
		return err
	}
	handler, err := NewHandler(*content, s)
	if err != nil {
		return err
	}
	return child.Serve(ctx, stdout, BasePath, handler)
}

// NewHandler returns a handler for one of these values.
func NewHandler(content string, s Settings) (*Handler, error) {
	u, err := newUploader(s)
	if err != nil {
		return nil, err
	}
	switch content {
	case Relay:
		return newHandler(u.relay), nil
	case Memory:
		u.memory = newPattern()
		return newHandler(u.make), nil
	case Drop:
		return newHandler(drop), nil
	}
	return nil, fmt.Errorf("content is not handled in the way %q", content)
}
