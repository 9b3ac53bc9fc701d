package cli

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"github.com/peterbourgon/ff/v3"
)

// versionFlag is a command rather than a setting: images have variables like
// TUSD_VERSION that mean something else.
const versionFlag = "version"

// given tells where each setting that was set comes from.
type given map[string]string // name of the flag: what a person would look for

// name is how a sentence names a setting.
func (g given) name(setting string) string {
	flag := "-" + setting
	if from := g[setting]; from != "" && from != flag {
		return flag + " (set by " + from + ")"
	}
	return flag
}

// readConfig puts together what args, the environment and the config file
// say, which come before each other in that order. An error names the flag,
// the variable or the line of the file that is wrong; flag.ErrHelp means that
// help was asked for.
func readConfig(args []string, env environment) (config, error) {
	cfg := config{given: make(given)}
	var refused error
	flags := allFlags(&cfg, &refused)
	err := flags.Parse(args)
	switch {
	case refused != nil:
		return cfg, refused
	case err != nil:
		return cfg, withoutValue(err)
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("argument %d is neither a flag nor the value of one: everything is set by flags", len(args)-flags.NArg()+1)
	case cfg.showVersion:
		return cfg, nil
	}
	flags.Visit(func(f *flag.Flag) { cfg.given[f.Name] = "-" + f.Name })
	if err := readEnvironment(flags, env, cfg.given); err != nil {
		return cfg, err
	}
	if err := readFile(flags, &cfg); err != nil {
		return cfg, err
	}
	cfg.monitoring.pprofAuth = env["TUSD_PPROF_AUTH"] // no flag: everyone can see those
	return cfg, cfg.contradiction()
}

func allFlags(cfg *config, refused *error) *flag.FlagSet {
	all := flag.NewFlagSet("tusd", flag.ContinueOnError)
	all.SetOutput(io.Discard)
	for _, s := range sections(cfg) {
		s.flags.VisitAll(func(f *flag.Flag) { all.Var(f.Value, f.Name, f.Usage) })
	}
	refuseUnsupported(all, refused)
	return all
}

// readEnvironment sets what the command line has not set. An empty variable
// is as good as none.
func readEnvironment(flags *flag.FlagSet, env environment, given given) error {
	var failed error
	flags.VisitAll(func(f *flag.Flag) {
		variable := variableOf(f.Name)
		value := env.setting(variable)
		if failed != nil || value == "" || given[f.Name] != "" || !isSetting(f) {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = fmt.Errorf("invalid value of %s: %w", variable, err)
		}
		given[f.Name] = variable
	})
	return failed
}

// What was set may be a secret in the wrong place, and errors are kept in logs:
// no error repeats it.
var (
	flagError   = regexp.MustCompile(`(?s)^invalid (?:boolean )?value "(?:[^"\\]|\\.)*" for (?:flag )?-([^ :]+): (.*)$`)
	settingName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)([=:].*)?$`) // also of one that there is not
)

// noSetting is the error for a line of a file whose first word is no setting. A
// line without a value may be one alone, and is not repeated.
func noSetting(word, value string) error {
	switch parts := settingName.FindStringSubmatch(word); {
	case parts == nil || value == "" && parts[2] == "":
		return errors.New("it does not begin with the name of a setting")
	case parts[2] != "":
		return fmt.Errorf("there is no setting %q with %q behind it: a space belongs between name and value", parts[1], parts[2][:1])
	}
	return fmt.Errorf("there is no setting %q", word)
}

// withoutValue is an error of package flag without the value that it is about.
func withoutValue(err error) error {
	if err == flag.ErrHelp {
		return err
	}
	if parts := flagError.FindStringSubmatch(err.Error()); parts != nil {
		return fmt.Errorf("invalid value for flag -%s: %s", parts[1], parts[2])
	}
	if strings.HasPrefix(err.Error(), "bad flag syntax") {
		return errors.New("an argument begins like a flag and is none")
	}
	return err
}

// isSetting tells whether a flag may also come from the environment or a file.
func isSetting(f *flag.Flag) bool {
	_, old := removed()[f.Name]
	return f.Name != versionFlag && !old
}

// readFile sets what is not set yet from the file of -config. ff knows by the
// flag set what that is.
func readFile(flags *flag.FlagSet, cfg *config) error {
	if cfg.configFile == "" {
		return nil
	}
	parser := lines{file: cfg.configFile, flags: flags, given: cfg.given, seen: make(map[string]int)}
	err := ff.Parse(flags, nil, ff.WithConfigFileVia(&cfg.configFile), ff.WithConfigFileParser(parser.parse))
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.given.name("config"), err)
	}
	return nil
}

// lines gives a config file to the parser of ff line by line, so that errors
// can say which one is wrong.
type lines struct {
	file  string
	flags *flag.FlagSet
	given given
	seen  map[string]int // the line of each setting
}

func (l lines) parse(r io.Reader, set func(name, value string) error) error {
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		name, value := splitLine(scanner.Text())
		if name == "" {
			continue
		}
		if err := l.set(n, name, value, set); err != nil {
			return fmt.Errorf("%s, line %d: %w", l.file, n, err)
		}
	}
	return scanner.Err()
}

// comment is what a # begins that is no part of a word.
var comment = regexp.MustCompile(`(^|\s)#.*`)

// splitLine returns the setting in a line and its value; "" is what is not
// there.
func splitLine(line string) (name, value string) {
	line = strings.TrimSpace(comment.ReplaceAllString(line, ""))
	end := strings.IndexFunc(line, unicode.IsSpace)
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimSpace(line[end:])
}

// set passes one setting on, unless it is none or was there before. Only what
// is on or off may stand without a value: it is on.
func (l lines) set(n int, name, value string, set func(name, value string) error) error {
	f := l.flags.Lookup(name)
	advice := removed()[name]
	switch {
	case advice != "":
		return fmt.Errorf("%s is a setting of older versions: %s", name, advice)
	case f == nil || !isSetting(f) || name == "config":
		return noSetting(name, value)
	case l.seen[name] > 0:
		return fmt.Errorf("%s is set a second time, after line %d", name, l.seen[name])
	case value == "" && !isBool(f):
		return fmt.Errorf("%s needs a value", name)
	case value == "":
		value = "true"
	}
	l.seen[name] = n
	if l.given[name] == "" {
		l.given[name] = fmt.Sprintf("%s, line %d", l.file, n)
	}
	return set(name, value)
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// variableOf is the environment variable of a flag.
func variableOf(name string) string {
	return "TUSD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
