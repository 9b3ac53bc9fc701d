package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/access"
	"github.com/tus/tusd/filestore"
)

// storeCommand is a command that works on the store that the flags of the server select,
// beside a running server.
type storeCommand struct {
	name    string
	summary string
	usage   string // behind "tusd name"
	intro   string // of the help
	takes   string // what an argument is; "": the id or the URL of an upload
	// least and most are the numbers of arguments that are no flags; -1: any.
	least, most int
	// declare adds the flags of the command alone.
	declare func(*config, *flag.FlagSet)
	run     func(context.Context, *storeAccess) error
}

// commandOf returns a command of the table. newCommand makes the values of its flags anew.
func commandOf(newCommand func() storeCommand) command {
	c := newCommand()
	return command{c.name, c.summary, func(i invocation) int { return newCommand().execute(i) }, func(w io.Writer) { newCommand().writeHelp(w) }}
}

// storeAccess is what a store command works with.
type storeAccess struct {
	invocation
	command  string
	cfg      config
	out      *bufio.Writer // to stdout
	progress *progress
	logger   *slog.Logger

	interactive bool // stdout is a terminal
	// onListed is called before the store reads a record for a listing, onTidied before it
	// looks at what may be a leftover, both perhaps at the same time as itself; nil: not.
	// They are set before the store is opened.
	onListed, onTidied func()

	storage  uploadStorage
	composer *tusd.StoreComposer
	handler  *tusd.Handler
}

// errUsage is an error in the arguments of a command.
type errUsage struct{ error }

// errReported ends a command whose output tells what is wrong.
var errReported = errors.New("reported")

// execute runs the command and returns the exit code.
func (s storeCommand) execute(c invocation) int {
	as, args, err := cutAsFlag(c.args)
	if err == nil && as != "" {
		return runAs(c.ctx, as, append(strings.Fields(s.name), args...), c.env, c.stdout, c.stderr)
	}
	var cfg config
	if err == nil {
		cfg, c.args, err = readCommandConfig(args, c.env, s.declare)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		s.writeHelp(c.stdout)
		return exitOK
	case err == nil && cfg.showVersion:
		writeVersion(c.stdout)
		return exitOK
	case err == nil:
		err = s.checkArguments(len(c.args))
	}
	if err != nil {
		return c.usageError(err.Error(), "tusd "+s.name+" -help for the list of flags")
	}
	for _, name := range c.env.unknown() { // it may have named the store
		fmt.Fprintf(c.stderr, "tusd: warning: the environment variable %s sets nothing: %s\n", name, insteadOf(name))
	}
	a := &storeAccess{invocation: c, command: s.name, cfg: cfg, progress: newProgress(c.stderr), interactive: isTerminal(c.stdout)}
	a.out = bufio.NewWriterSize(a.progress.around(c.stdout), 32<<10)
	a.logger = slog.New(slog.NewTextHandler(a.progress.around(c.stderr), &slog.HandlerOptions{Level: slog.LevelWarn}))
	err = s.run(c.ctx, a)
	a.progress.clear()
	switch failed := a.out.Flush(); {
	case errors.Is(err, errReported) && failed != nil:
		err = failed // the report is lost
	case !errors.Is(err, failed): // else run has returned it
		err = errors.Join(err, failed)
	}
	return a.exitCode(errors.Join(err, a.close()))
}

func (s storeCommand) checkArguments(n int) error {
	switch {
	case n < s.least:
		return errors.New(s.name + " needs " + cmp.Or(s.takes, "the id or the URL of an upload"))
	case s.most >= 0 && n > s.most:
		return errors.New(s.name + " has more arguments than it takes")
	}
	return nil
}

// exitCode prints err, if it is one, and returns the exit code.
func (a *storeAccess) exitCode(err error) int {
	var usage errUsage
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return a.usageError(usage.Error(), "tusd "+a.command+" -help for the list of flags")
	case a.ctx.Err() != nil:
		fmt.Fprintf(a.stderr, "tusd: %s was ended before it was done: %v\n", a.command, context.Cause(a.ctx))
	case errors.Is(err, errReported), errors.Is(err, syscall.EPIPE): // the reader of a pipe has ended
	default:
		fmt.Fprintf(a.stderr, "tusd: %s\n", printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return exitFailed
}

// close closes the store, if it was opened, when all locks are released.
func (a *storeAccess) close() error {
	if a.storage == nil {
		return nil
	}
	var err error
	if a.handler != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err = a.handler.Shutdown(ctx)
	}
	return errors.Join(err, a.storage.close())
}

// closeTimeout is how long the end of a command waits until its locks are released.
const closeTimeout = 5 * time.Second

// openForReading opens the store without a change to it.
func (a *storeAccess) openForReading() error {
	_, settings := a.cfg.chosenStorage()
	var err error
	if a.storage, err = settings.open(a.logger); err != nil {
		return err
	}
	a.composer = tusd.NewStoreComposer()
	a.storage.useIn(a.composer)
	return a.openHandler(tusd.Config{ReadOnly: true})
}

// openForChanges opens the store with the locker of the flags. It is refused if another
// process may change the store unseen.
func (a *storeAccess) openForChanges() error {
	kind, _ := a.cfg.chosenStorage()
	if !a.cfg.isOnlyWriter() {
		return errUsage{fmt.Errorf("%s is refused with -%s: %s. "+
			"Stop all servers, and promise with -only-process that no other process uses the bucket", a.command, kind.flag, unseenLocks)}
	}
	return a.openBesideServers()
}

// openBesideServers is openForChanges for a command that changes nothing that a server may
// change at the same time, even if the locker does not keep the two apart.
func (a *storeAccess) openBesideServers() error {
	kind, _ := a.cfg.chosenStorage()
	if kind.flag == fileStorageKind.flag {
		if err := a.checkOwner(); err != nil {
			return err
		}
	}
	c, err := compose(a.cfg, a.logger)
	if err != nil {
		return err
	}
	a.storage, a.composer = &closingLocker{c.storage, c.locker}, c.composer()
	if err := c.storage.present(); err != nil {
		return a.storage.advised(err)
	}
	return a.openHandler(tusd.Config{Offline: true, AcquireLockTimeout: a.cfg.timeouts.acquireLock})
}

// closingLocker is a storage that closes its locker, too.
type closingLocker struct {
	uploadStorage
	locker uploadLocker
}

func (c *closingLocker) close() error { return errors.Join(c.locker.close(), c.uploadStorage.close()) }

func (a *storeAccess) openHandler(config tusd.Config) (err error) {
	a.composer.Core = &cancellableStore{DataStore: a.composer.Core, until: a.ctx}
	a.watch()
	config.StoreComposer, config.Logger, config.ExpireAfter = a.composer, a.logger, a.cfg.housekeeping.expireAfter
	a.handler, err = tusd.NewHandler(config)
	if errors.Is(err, filestore.ErrInUse) {
		return fmt.Errorf("%w (this server or command has -locker memory, which lets no other process into the directory)", err)
	}
	if err != nil {
		return a.storage.advised(err)
	}
	return nil
}

// checkOwner refuses root in the directory of another user, who could not use the files that
// root makes. The server has made .tusd.locks if it exists; else the directory tells whose
// it is.
func (a *storeAccess) checkOwner() error {
	dir, err := a.cfg.files().directory()
	if err != nil || !access.Me().IsRoot() {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, ".tusd.locks"))
	if err != nil {
		info, err = os.Stat(dir)
	}
	if err != nil {
		return nil // nothing is there, or the command tells what is wrong with it
	}
	if owner, known := access.Owner(info); known && !owner.IsRoot() {
		return fmt.Errorf("this runs as root, and %s belongs to %s, who cannot use what root makes there: run it as that user (sudo -u %s tusd %s ...), or add -as %s",
			dir, owner, owner.SudoName(), a.command, owner.Name())
	}
	return nil
}

// writeHelp explains the command.
func (s storeCommand) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "Usage: tusd %s [-as user] [flags]%s\n\n%s", s.name, s.usage, s.intro)
	if s.declare != nil {
		newSection("Flags of "+s.name, func(f *flag.FlagSet) { s.declare(new(config), f) }).writeHelp(w)
	}
	fmt.Fprint(w, storeCommandSources)
	cfg := new(config)
	for _, section := range cfg.declareStorages() {
		section.writeHelp(w)
	}
	newSection(locksSection, cfg.declareLockers).writeHelp(w)
	newSection(housekeepingSection, cfg.housekeeping.declare).writeHelp(w)
}

const storeCommandSources = `
-as runs it as the user of the server, a name or a number; only root can do that.

It takes the flags, variables and config file of the server, and makes use of
these:
`

// ids returns the ids of uploads that are named by ids or URLs.
func (a *storeAccess) ids() ([]string, error) {
	var ids []string
	for _, argument := range a.args {
		id, err := a.cfg.idOf(argument)
		if err != nil {
			return nil, errUsage{fmt.Errorf("%q is neither the id nor the URL of an upload: %w", cutText(argument), err)}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

var errNotBelowBase = errors.New("the path of the URL is not below that of -base-path or -public-url")

// idOf returns the id that an argument names: the id, a URL, or the path of one.
func (cfg config) idOf(argument string) (string, error) {
	id := argument
	if u, err := url.Parse(argument); err == nil && (u.Scheme != "" && u.Host != "" || strings.HasPrefix(argument, "/")) {
		rest, ok := cfg.cutBasePath(u.EscapedPath())
		if !ok {
			return "", errNotBelowBase
		}
		if id, err = url.PathUnescape(rest); err != nil { // a plus stays a plus
			return "", errors.New("the URL is not escaped correctly")
		}
	}
	if err := tusd.ValidateID(id); err != nil {
		return "", errors.New(problemOfID(id))
	}
	return id, nil
}

// problemOfID tells why an id is not valid: it names the first segment with a fault.
func problemOfID(id string) string {
	for segment := range strings.SplitSeq(id, "/") {
		var invalid *tusd.Error
		switch err := tusd.ValidateID(segment); {
		case err == nil:
		case id == "":
			return "the id is empty"
		case segment == "":
			return "a segment between slashes is empty"
		case segment == "." || segment == "..":
			return fmt.Sprintf("a segment of an id is not %q", segment)
		case tusd.ValidateID(strings.Repeat("x", len(segment))) != nil:
			return fmt.Sprintf("a segment of %d bytes is too long", len(segment))
		case errors.As(err, &invalid) && invalid.Err != nil:
			return fmt.Sprintf("%q: %v", cutText(segment), invalid.Err)
		}
	}
	return fmt.Sprintf("an id of %d bytes is too long", len(id))
}

// cutBasePath returns what follows the base path in the path of a URL. A proxy may have put
// something in front of it.
func (cfg config) cutBasePath(path string) (rest string, ok bool) {
	bases := []string{cfg.listening.basePath}
	if public, err := url.Parse(cfg.listening.publicURL); err == nil && public.Host != "" {
		bases = slices.Insert(bases, 0, strings.TrimSuffix(public.EscapedPath(), "/")+"/")
	}
	for _, base := range bases {
		if rest, ok = strings.CutPrefix(path, base); ok {
			return rest, true
		}
	}
	_, rest, ok = strings.Cut(path, cfg.listening.basePath)
	return rest, ok
}

// commandFlag is a flag of a command, which no variable and no file sets.
type commandFlag struct{ quotedValue }

// readCommandConfig is readConfig for a command with flags of its own and arguments, which
// may stand before, between and after the flags. After -- all are arguments.
func readCommandConfig(args []string, env environment, declare func(*config, *flag.FlagSet)) (cfg config, rest []string, err error) {
	cfg = config{sources: make(settingSources), isCommand: true}
	var refused error
	flags := allFlags(&cfg, &refused)
	if declare != nil {
		own := newSection("", func(f *flag.FlagSet) { declare(&cfg, f) })
		own.flags.VisitAll(func(f *flag.Flag) { flags.Var(commandFlag{quotedValue{f.Value}}, f.Name, f.Usage) })
	}
	for {
		err := flags.Parse(args)
		switch {
		case refused != nil:
			return cfg, nil, refused
		case err != nil:
			return cfg, nil, withoutValue(err)
		}
		parsed := args[:len(args)-flags.NArg()]
		if len(parsed) > 0 && parsed[len(parsed)-1] == "--" {
			rest = append(rest, flags.Args()...)
			break
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if cfg.showVersion {
		return cfg, rest, nil
	}
	flags.Visit(func(f *flag.Flag) { cfg.sources[f.Name] = "-" + f.Name })
	return cfg, rest, cfg.readSources(flags, env)
}
