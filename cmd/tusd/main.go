// Command tusd is a server for resumable uploads (https://tus.io). Run it
// with -help for its flags.
package main

import (
	"context"
	"os"

	"github.com/tus/tusd/cmd/tusd/cli"
)

func main() {
	ctx := cli.UntilSignal(context.Background(), os.Exit)
	os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
