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
		return cfg, leftOver(flags, args, len(args)-flags.NArg())
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
	if cfg.monitoring.pprofAuth, err = env.pprofAuth(); err != nil {
		return cfg, err
	}
	return cfg, cfg.contradiction()
}

// leftOver is the error for args[i], at which the flags end. It may be a secret,
// and is not repeated.
func leftOver(flags *flag.FlagSet, args []string, i int) error {
	if _, ok := findCommand(args[i]); ok {
		return fmt.Errorf("argument %d is the command %s, which comes first: tusd %[2]s", i+1, args[i])
	}
	if i == 0 {
		return errors.New(noCommand(1, args[i]))
	}
	if f := flags.Lookup(strings.TrimLeft(args[i-1], "-")); f != nil && isBool(f) {
		return fmt.Errorf("argument %d is neither a flag nor the value of one: a value of -%s is written behind an equals sign, as in -%[2]s=no", i+1, f.Name)
	}
	return fmt.Errorf("argument %d is neither a flag nor the value of one: everything is set by flags", i+1)
}

func allFlags(cfg *config, refused *error) *flag.FlagSet {
	all := flag.NewFlagSet("tusd", flag.ContinueOnError)
	all.SetOutput(io.Discard)
	for _, s := range sections(cfg) {
		s.flags.VisitAll(func(f *flag.Flag) { all.Var(f.Value, f.Name, f.Usage) })
	}
	refuseUnsupported(all, refused)
	all.VisitAll(func(f *flag.Flag) { f.Value = written{f.Value} })
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
	unknownFlag = regexp.MustCompile(`(?s)^flag provided but not defined: -(.*)$`)
	settingName = regexp.MustCompile(`^-{0,2}[A-Za-z][A-Za-z0-9_-]*$`) // also of one that there is not
)

// noSetting is the error for a line of a file whose first word is no setting. A
// line without a value may be one alone, and is not repeated.
func noSetting(word, value string) error {
	if !settingName.MatchString(word) || strings.Trim(value, "=") == "" {
		return errors.New("it does not begin with the name of a setting")
	}
	return fmt.Errorf("there is no setting %q%s", word, didYouMean(word, settingNames("config", versionFlag), settingOf))
}

// withoutValue is an error of package flag without the value that it is about.
func withoutValue(err error) error {
	if err == flag.ErrHelp {
		return err
	}
	if parts := unknownFlag.FindStringSubmatch(err.Error()); parts != nil {
		return fmt.Errorf("there is no flag -%s%s", parts[1], didYouMean(parts[1], settingNames(), flagOf))
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
		text := scanner.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // editors of Windows write it
		}
		line := splitLine(text)
		if line == (setLine{}) {
			continue
		}
		if err := l.set(n, line, set); err != nil {
			return fmt.Errorf("%s, line %d: %w", l.file, n, err)
		}
	}
	return scanner.Err()
}

// setLine is a setting in a file, and its value; "" is what is not there.
type setLine struct {
	name, value string
	separator   string // = or : between the two; "": only space
}

// splitLine takes a line apart: name value, name=value or name: value. Space
// around = does not count, nor behind the colon. A colon behind a space begins
// the value, as in admin-listen :9090, unless it stands alone.
func splitLine(text string) (l setLine) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "#") {
		return setLine{}
	}
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '=' || r == ':' })
	if end < 0 {
		return setLine{name: text}
	}
	l.name, l.value = text[:end], text[end:]
	behind := strings.TrimSpace(l.value)
	switch {
	case strings.HasPrefix(behind, "="), strings.HasPrefix(l.value, ":"):
		l.separator, l.value = behind[:1], behind[1:]
	case behind == ":", strings.HasPrefix(behind, ": "):
		l.separator, l.value = ":", behind[1:]
	}
	l.value = strings.TrimSpace(withoutComment(l.value))
	return l
}

// comment is what a # begins that is no part of a word.
var comment = regexp.MustCompile(`\s#.*`)

// withoutComment leaves quoted text in front of a comment as it is.
func withoutComment(value string) string {
	begin := strings.TrimLeftFunc(value, unicode.IsSpace)
	if begin != "" && strings.Contains(`"'`, begin[:1]) {
		if _, behind, closed := strings.Cut(begin[1:], begin[:1]); closed {
			return strings.TrimSuffix(begin, behind) + comment.ReplaceAllString(behind, "")
		}
	}
	return comment.ReplaceAllString(value, "")
}

// set passes one setting on, unless it is none or was there before. Only what
// is on or off may stand without a value: it is on.
func (l lines) set(n int, line setLine, set func(name, value string) error) error {
	name, value := line.name, line.value
	f := l.flags.Lookup(name)
	advice := removed()[name]
	switch {
	case advice != "":
		return fmt.Errorf("%s is a setting of older versions: %s", name, advice)
	case f == nil || !isSetting(f) || name == "config":
		return noSetting(name, value)
	case l.seen[name] > 0:
		return fmt.Errorf("%s is set a second time, after line %d", name, l.seen[name])
	case value == "" && line.separator != "":
		return fmt.Errorf("%s needs a value behind %q; \"\" is an empty one", name, line.separator)
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
	return written{f.Value}.IsBoolFlag()
}

// variableOf is the environment variable of a flag.
func variableOf(name string) string {
	return "TUSD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
