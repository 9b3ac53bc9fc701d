package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tus/tusd/filestore"
)

// config is what the command line asks for.
type config struct {
	host     string
	port     uint16 // 0: any free one
	basePath string // on the wire: escaped, a slash at both ends

	maxSize       int64 // bytes; 0: no limit, as for the next two
	maxAppendSize int64
	minAppendSize int64
	disableIETF   bool
	enableIETF    bool   // as in tusd v2; it is on anyway
	digest        string // "": none
	checksumSpool string // directory; "": none

	uploadDir  string
	durability filestore.Durability

	fileKey      string
	storageRoots string // a list as in PATH

	networkTimeout     time.Duration
	acquireLockTimeout time.Duration
	shutdownTimeout    time.Duration

	verbose     bool
	showVersion bool
}

// section is a part of the help text: flags that belong together.
type section struct {
	title string
	flags *flag.FlagSet
}

// sections declares all flags, with their values going to cfg. It is the one
// list that parsing and help are made from.
func sections(cfg *config) []section {
	listening := flag.NewFlagSet("Listening", flag.ContinueOnError)
	listening.StringVar(&cfg.host, "host", "0.0.0.0", "`address` to listen on")
	portVar(listening, &cfg.port, "port", 8080, "TCP `port` to listen on; 0: any free one")
	basePathVar(listening, &cfg.basePath, "base-path", "/files/", "URL `path` below which uploads live")

	protocol := flag.NewFlagSet("Upload protocol", flag.ContinueOnError)
	sizeVar(protocol, &cfg.maxSize, "max-size", "largest upload in `bytes`; 0: no limit")
	sizeVar(protocol, &cfg.maxAppendSize, "max-append-size", "largest content of one request in `bytes`, told to and\nheld against clients of the IETF draft; 0: no limit")
	sizeVar(protocol, &cfg.minAppendSize, "min-append-size", "the same for the smallest content of a request that\ndoes not complete its upload (`bytes`)")
	protocol.BoolVar(&cfg.disableIETF, "disable-ietf", false, "do not speak the IETF draft \"Resumable Uploads for HTTP\"")
	protocol.BoolVar(&cfg.enableIETF, "enable-experimental-protocol", false, "of tusd v2, for the IETF draft: no longer needed")
	digestVar(protocol, &cfg.digest, "digest", "keep a digest of every upload: the `algorithm` is sha256,\nsha512, sha1, md5 or crc32c")
	protocol.StringVar(&cfg.checksumSpool, "checksum-spool", "", "`directory` where chunks with checksums are verified for\nstorages that cannot take a chunk back; files can")

	storage := flag.NewFlagSet("File storage", flag.ContinueOnError)
	dirVar(storage, &cfg.uploadDir, "upload-dir", "./data", "`directory` for the uploads; made if missing")
	durabilityVar(storage, &cfg.durability, "durability", "ack", "what survives a power cut: ack (everything a client\nwas told), complete (complete uploads) or none;\na killed process loses nothing at any `level`")

	storage.StringVar(&cfg.fileKey, "file-key", "", "where the data of an upload lies in the directory: a path\nmade of {id}, which must be there, {date} and {filename};\nthe `template` is {id} if this is empty")
	storage.StringVar(&cfg.storageRoots, "storage-root", "", "further `directories`, separated as in PATH, that records\nof uploads may lead into")

	timeouts := flag.NewFlagSet("Timeouts", flag.ContinueOnError)
	durationVar(timeouts, &cfg.networkTimeout, "network-timeout", 60*time.Second, 1, "how long a connection may make no progress (`duration`)")
	durationVar(timeouts, &cfg.acquireLockTimeout, "acquire-lock-timeout", 20*time.Second, 1, "how long a request waits for an upload that another\none uses (`duration`)")
	durationVar(timeouts, &cfg.shutdownTimeout, "shutdown-timeout", 10*time.Second, 0, "how long running requests may take to end after\nSIGINT or SIGTERM (`duration`); 0: no time at all")

	output := flag.NewFlagSet("Output", flag.ContinueOnError)
	output.BoolVar(&cfg.verbose, "verbose", true, "also log what is only of use when looking for a fault")
	output.BoolVar(&cfg.showVersion, "version", false, "print what this program was built from, and exit")

	return []section{
		{"Listening", listening}, {"Upload protocol", protocol}, {"File storage", storage},
		{"Timeouts", timeouts}, {"Output", output},
	}
}

// parseFlags reads the command line. An error names the flag or argument that
// is wrong; flag.ErrHelp means that help was asked for.
func parseFlags(args []string) (config, error) {
	var cfg config
	all := flag.NewFlagSet("tusd", flag.ContinueOnError)
	all.SetOutput(io.Discard)
	for _, s := range sections(&cfg) {
		s.flags.VisitAll(func(f *flag.Flag) { all.Var(f.Value, f.Name, f.Usage) })
	}
	var refused error
	refuseUnsupported(all, &refused)
	err := all.Parse(args)
	switch {
	case refused != nil:
		return cfg, refused
	case err != nil:
		return cfg, err
	case all.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q: everything is set by flags", all.Arg(0))
	}
	return cfg, cfg.contradiction()
}

// contradiction names flags that cannot both be meant.
func (cfg config) contradiction() error {
	switch {
	case cfg.disableIETF && cfg.enableIETF:
		return errors.New("-disable-ietf and -enable-experimental-protocol exclude each other")
	case cfg.maxAppendSize > 0 && cfg.minAppendSize > cfg.maxAppendSize:
		return errors.New("-min-append-size is larger than -max-append-size")
	case cfg.maxSize > 0 && cfg.minAppendSize > cfg.maxSize:
		return errors.New("-min-append-size is larger than -max-size")
	}
	return nil
}

// writeHelp explains all flags.
func writeHelp(w io.Writer) {
	fmt.Fprint(w, "tusd receives resumable uploads (https://tus.io) and stores them.\n\nUsage: tusd [flags]\n")
	for _, s := range sections(new(config)) {
		fmt.Fprintf(w, "\n%s:\n", s.title)
		s.flags.VisitAll(func(f *flag.Flag) { writeFlagHelp(w, f) })
	}
}

func writeFlagHelp(w io.Writer, f *flag.Flag) {
	argument, usage := flag.UnquoteUsage(f)
	if argument != "" {
		argument = " " + argument
	}
	const indent = "\n        "
	fmt.Fprintf(w, "  -%s%s%s%s", f.Name, argument, indent, strings.ReplaceAll(usage, "\n", indent))
	if f.DefValue != "" && f.DefValue != "false" {
		fmt.Fprintf(w, " (default %s)", f.DefValue)
	}
	fmt.Fprintln(w)
}
