// Package bench is the command tusd-bench: it starts servers, puts load on them,
// measures and compares them.
package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tus/tusd/cmd/tusd-bench/bare"
	"github.com/tus/tusd/cmd/tusd-bench/endpoint"
	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/cmd/tusd-bench/sdk"
	"github.com/tus/tusd/cmd/tusd-bench/service"
)

// Exit codes of Main.
const (
	exitOK     = 0
	exitFailed = 1 // a request failed, or a server has lost bytes
	exitUsage  = 2
)

// builtIn are the servers that the command runs as if its first argument names one.
var builtIn = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	bare.Command:     bare.Serve,
	sdk.Command:      sdk.Serve,
	service.Command:  service.Serve,
	endpoint.Command: endpoint.Serve,
}

// Main runs the command and returns its exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && builtIn[args[0]] != nil {
		return exitCode(stderr, builtIn[args[0]](ctx, args[1:], stdout))
	}
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		writeHelp(stdout)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "tusd-bench: %v\nRun tusd-bench -help for the list of flags.\n", err)
		return exitUsage
	}
	return exitCode(stderr, run(ctx, o, stdout))
}

func exitCode(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintf(stderr, "tusd-bench: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// run runs the measurements that o selects.
func run(ctx context.Context, o options, stdout io.Writer) error {
	place, err := newWorkDir(o.dir)
	if err != nil {
		return err
	}
	what := measureAll
	switch {
	case o.with != "":
		what = measureFlags
	case o.prefill > 0:
		what = measureGrowth
	}
	report, err := what(ctx, o, place)
	if err = errors.Join(err, place.close()); err != nil {
		return err
	}
	return report.write(stdout, o.json)
}

// measureAll runs the workloads on all servers.
func measureAll(ctx context.Context, o options, place *workDir) (report Report, err error) {
	work, slow, err := o.workloads()
	if err != nil {
		return report, err
	}
	if len(work) > 0 {
		if err := measurePairs(ctx, o, place, work, &report); err != nil {
			return report, err
		}
	}
	if slow {
		report.Slow, err = measureSlow(ctx, o, place)
	}
	return report, err
}

// workloads parses -work. Slow connections are not measured in pairs.
func (o options) workloads() (work []load.Workload, slow bool, err error) {
	for name := range strings.SplitSeq(o.work, ",") {
		if name == "slow" {
			slow = true
			continue
		}
		w, err := load.Parse(name, o.plan)
		if err != nil {
			return nil, false, err
		}
		work = append(work, w)
	}
	return work, slow, nil
}

func measurePairs(ctx context.Context, o options, place *workDir, work []load.Workload, report *Report) error {
	servers, err := o.servers(ctx, place)
	if err != nil {
		return err
	}
	for _, w := range work {
		results, err := measure(ctx, slices.Repeat([]load.Workload{w}, len(servers)), servers, o.pairs)
		if err != nil {
			return err
		}
		report.add(w.Name, servers, results)
		if o.s3.compare {
			report.addTogether(w.Name, servers, results)
		}
	}
	return clearForeign(ctx, servers)
}

// clearForeign removes the uploads from servers that this command has not started. The
// directories of the others are removed as a whole.
func clearForeign(ctx context.Context, servers []*server) error {
	for _, s := range servers {
		if s.cmd != nil {
			continue
		}
		if err := s.target.Clear(ctx); err != nil {
			return fmt.Errorf("%s: clear: %w", s.name, err)
		}
	}
	return nil
}

// servers returns the measured server, if there is one, and then the bare server
// twice, if they are to be compared.
func (o options) servers(ctx context.Context, place *workDir) (servers []*server, err error) {
	switch {
	case o.s3.use:
		return o.onS3(ctx, place)
	case o.hooks.set:
		return o.withHooks(ctx, place)
	}
	judged, err := o.measured(ctx, place)
	if err != nil {
		return nil, err
	}
	if judged != nil {
		servers = append(servers, judged)
	}
	bare, err := o.baseline(ctx, place)
	return append(servers, bare...), err
}

// measured returns the server of -url or -server, or nil.
func (o options) measured(ctx context.Context, place *workDir) (*server, error) {
	switch {
	case o.url != "":
		target, err := load.NewTarget(o.url, o.uploadDir)
		return &server{name: "server", target: target, pid: o.pid}, err
	case o.server != "":
		return place.start(ctx, "server", !o.byGet, o.command()...)
	}
	return nil, nil
}

// command returns the command line of -server.
func (o options) command() []string {
	return append([]string{o.server, "-host", "127.0.0.1", "-port", "0"}, strings.Fields(o.serverFlags)...)
}

// baseline returns two bare servers, or none. The second is compared with the first:
// the ratio of two equal servers shows the noise.
func (o options) baseline(ctx context.Context, place *workDir) (servers []*server, err error) {
	if !o.bare && !o.bareSync {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	name, command := "bare", []string{self, bare.Command}
	if o.bareSync {
		name, command = "bare-sync", append(command, "-sync")
	}
	for _, name := range []string{name, name + "'"} {
		s, err := place.start(ctx, name, !o.byGet, command...)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}
