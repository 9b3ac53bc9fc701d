// Package cli is the tusd command: it reads the flags, composes the server
// they describe, and runs it until it is told to stop.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// Exit codes of Run.
const (
	exitOK     = 0
	exitFailed = 1 // an error while starting or running
	exitUsage  = 2 // the command line is invalid
)

// Run is the tusd command: args are the arguments without the program's name,
// environ is as from os.Environ, and the result is the exit code. It runs until
// ctx ends, logs the cause, and shuts down gracefully.
//
// Logs and the start-up lines go to stdout, which must be safe for concurrent
// writes. An error that ends the command goes to stderr, or to the log if that
// is JSON.
//
// If the first argument is no flag, it is one of commands.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	env := newEnvironment(environ)
	if len(args) > 0 {
		if c, ok := findCommand(args[0]); ok {
			return c.run(invocation{ctx, args[1:], env, stdout, stderr})
		}
	}
	cfg, err := readConfig(args, env)
	switch {
	case errors.Is(err, flag.ErrHelp):
		writeHelp(stdout)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "tusd: %v\nRun tusd -help for the list of flags.\n", err)
		return exitUsage
	case cfg.showVersion:
		writeVersion(stdout)
		return exitOK
	}
	defer setHeapFloor()()
	logger, queue := startLog(stdout, cfg.output.logFormat, cfg.output.verbose)
	defer queue.close(logCloseTimeout)
	for _, sentence := range cfg.warnings(env) {
		logger.Warn(sentence)
	}
	d := &daemon{cfg: cfg, stdout: stdout, logger: logger, queue: queue}
	if err := d.serve(ctx); err != nil {
		if cfg.output.logFormat == jsonFormat {
			logger.Error(err.Error())
		} else {
			fmt.Fprintf(stderr, "tusd: %v\n", err)
		}
		return exitFailed
	}
	return exitOK
}

// logCloseTimeout is how long the end of the process waits for the log.
const logCloseTimeout = time.Second
