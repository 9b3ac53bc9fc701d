package bench

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// options are the settings of the command line.
type options struct {
	url       string
	pid       int
	uploadDir string

	server      string
	serverFlags string
	dir         string
	byGet       bool

	bare, bareSync bool

	s3    s3Options
	hooks hookDelay

	work  string
	plan  load.Plan
	slow  load.SlowPlan
	pairs int

	prefill int
	with    string

	json bool
}

func flagsOf(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("tusd-bench", flag.ContinueOnError)
	f.StringVar(&o.url, "url", "", "drive the running server that creates uploads at this `URL`")
	f.IntVar(&o.pid, "pid", 0, "with -url: the server's `process` on this machine, for CPU time and memory")
	f.StringVar(&o.uploadDir, "upload-dir", "", "with -url: the server's `directory`; contents are verified there rather\nthan by GET")
	f.StringVar(&o.server, "server", "", "start this `program`, which takes tusd's flags, and drive it")
	f.StringVar(&o.serverFlags, "server-flags", "", "further `flags` for -server, separated by spaces")
	f.StringVar(&o.dir, "dir", os.TempDir(), "`directory` for the uploads of servers that are started")
	f.BoolVar(&o.byGet, "verify-get", false, "verify the contents of servers that are started by GET, too")
	f.BoolVar(&o.bare, "bare", false, "compare with the built-in bare server")
	f.BoolVar(&o.bareSync, "bare-sync", false, "compare with the built-in bare server that syncs")
	o.s3.declare(f)
	f.Var(&o.hooks, "hooks", "compare -server without hooks and with an endpoint of hooks that answers\nafter this `time`, or not at all (hang), in both ways of delivery")
	f.StringVar(&o.work, "work", "head,small,cwu,chunks,patch", "`workloads`: "+load.Names)
	f.IntVar(&o.plan.Clients, "clients", 16, "`number` of clients that work at the same time")
	f.IntVar(&o.plan.Requests, "requests", 3000, "`number` of operations in a run of small and cwu; head makes five\ntimes as many")
	o.plan.Size, o.plan.Chunk = 64<<20, 1<<20
	f.Var((*size)(&o.plan.Size), "size", "size of an upload of patch and chunks in `bytes` (K, M, G)")
	f.Var((*size)(&o.plan.Chunk), "chunk-size", "size of a PATCH of chunks in `bytes` (K, M, G)")
	f.IntVar(&o.slow.Connections, "connections", 2000, "`number` of connections of slow")
	o.slow.Burst = 1 << 20
	f.Var((*size)(&o.slow.Burst), "burst", "what each of them sends at full speed in `bytes` (K, M, G)")
	f.IntVar(&o.slow.AtOnce, "bursts", 0, "`number` of them that do so at the same time; 0: all")
	f.DurationVar(&o.slow.Time, "slow-time", 20*time.Second, "how long they are slow after that (`duration`)")
	f.IntVar(&o.prefill, "prefill", 0, "compare -server on a directory with this `number` of uploads with\none that has 100, instead of -work")
	f.StringVar(&o.with, "with", "", "with -prefill: compare -server with these further `flags` and without\nthem, on equal directories")
	f.IntVar(&o.pairs, "pairs", 15, "`number` of interleaved runs of each server")
	f.BoolVar(&o.json, "json", false, "print JSON instead of tables; durations are in nanoseconds")
	return f
}

// parseOptions reads the command line.
func parseOptions(args []string) (options, error) {
	var o options
	flags := flagsOf(&o)
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.slow.AtOnce == 0 {
		o.slow.AtOnce = o.slow.Connections
	}
	return o, o.contradiction()
}

func (o options) contradiction() error {
	switch {
	case o.url != "" && o.server != "":
		return errors.New("-url and -server exclude each other")
	case o.bare && o.bareSync:
		return errors.New("-bare and -bare-sync exclude each other")
	case o.url == "" && o.server == "" && !o.bare && !o.bareSync:
		return errors.New("no server is selected: set -url, -server, -bare or -bare-sync")
	case o.s3.use && (o.server == "" || o.bare || o.bareSync || o.prefill != 0):
		return errors.New("-s3 is for -server, and neither for -bare nor for -prefill")
	case o.hooks.set && (o.server == "" || o.bare || o.bareSync || o.s3.use || o.prefill != 0):
		return errors.New("-hooks is for -server, and neither for -bare nor for -s3 nor for -prefill")
	case o.s3.compare && !o.s3.use:
		return errors.New("-sdk needs -s3")
	case o.s3.latency < 0 || o.s3.partSize < 1 || o.s3.parts < 1:
		return errors.New("-s3-part-size and -s3-concurrent-part-uploads are at least 1, -s3-latency is not negative")
	case o.url == "" && (o.pid != 0 || o.uploadDir != ""):
		return errors.New("-pid and -upload-dir describe the server of -url")
	case o.prefill != 0 && (o.server == "" || o.bare || o.bareSync):
		return errors.New("-prefill is for -server alone")
	case o.with != "" && o.prefill == 0:
		return errors.New("-with needs -prefill")
	case o.prefill != 0 && (o.prefill < fewUploads || o.plan.Clients > fewUploads):
		return fmt.Errorf("-prefill needs at least %d uploads, and at most so many -clients", fewUploads)
	case o.slow.Connections < 1 || o.slow.AtOnce < 1 || o.slow.Burst < 1 || o.slow.Time < 0:
		return errors.New("-connections, -bursts and -burst are at least 1, -slow-time is not negative")
	case o.plan.Clients < 1 || o.plan.Requests < 1 || o.pairs < 1 || o.plan.Size < 1 || o.plan.Chunk < 1:
		return errors.New("-clients, -requests, -pairs, -size and -chunk-size are at least 1")
	}
	return nil
}

func writeHelp(w io.Writer) {
	fmt.Fprint(w, "tusd-bench puts load on servers of tus 1.0, verifies what they store, and compares them.\n\nUsage: tusd-bench [flags]\n\n")
	flags := flagsOf(new(options))
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// size is a number of bytes on the command line: 4096, 4K, 64M, 4G.
type size int64

// String implements flag.Value.
func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set implements flag.Value.
func (s *size) Set(text string) error {
	digits := strings.TrimRight(text, "KMG")
	shift, ok := map[string]int{"": 0, "K": 10, "M": 20, "G": 30}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n > 1<<62>>shift {
		return errors.New("this is no number of bytes")
	}
	*s = size(n << shift)
	return nil
}
