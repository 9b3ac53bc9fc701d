package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
)

// doctorName is the first argument of tusd doctor.
const doctorName = "doctor"

const doctorIntro = `tusd doctor tries out where uploads would be kept, a bucket or a directory, and
the lock service if there is one. It says line by line what is ok, what is
missing, and what to do about it. It
leaves nothing behind. It ends with 0 if nothing is missing, else with 1.

Usage: tusd doctor [-as user] [flags]

-as runs it as the user of the server, a name or a number; only root can do
that.

It takes the flags, variables and config file of the server. It looks at where
the server is to listen, at the certificate, the PID file and the hooks, and
makes use of these:
`

func writeDoctorHelp(w io.Writer) {
	fmt.Fprint(w, doctorIntro)
	cfg := new(config)
	for _, s := range cfg.declareStorages() {
		s.writeHelp(w)
	}
	newSection(locksSection, cfg.declareLockers).writeHelp(w)
}

// runDoctor is tusd doctor.
func runDoctor(c invocation) int {
	ctx, stdout, stderr := c.ctx, c.stdout, c.stderr
	as, args, err := cutAsFlag(c.args)
	if err == nil && as != "" {
		return runAs(ctx, as, append([]string{doctorName}, args...), c.env, stdout, stderr)
	}
	var cfg config
	if err == nil {
		cfg, err = readConfig(args, c.env)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		writeDoctorHelp(stdout)
		return exitOK
	case err != nil:
		return c.usageError(err.Error(), "tusd doctor -help for the list of flags")
	case cfg.showVersion:
		writeVersion(stdout)
		return exitOK
	}
	report := doctor.NewReport(stdout)
	for _, sentence := range cfg.warnings(c.env) {
		report.Warn("settings", sentence)
	}
	cfg.examineUser(report)
	cfg.examineStartup(report)
	cfg.examineHooks(report)
	_, settings := cfg.chosenStorage()
	settings.examine(ctx, cfg, report)
	if ctx.Err() == nil {
		cfg.examineLocker(ctx, report)
	}
	if ctx.Err() != nil {
		fmt.Fprintf(stderr, "tusd: doctor was ended before it was done: %v\n", context.Cause(ctx))
		return exitFailed
	}
	report.Conclude()
	if !report.Good() {
		return exitFailed
	}
	return exitOK
}
