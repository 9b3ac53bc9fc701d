package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// versionFlag is a command rather than a setting: images have variables like
// TUSD_VERSION with another meaning.
const versionFlag = "version"

// settingSources tells where each setting was set, by the name of its flag: the
// flag, a variable, or a line of a file.
type settingSources map[string]string

// name returns how a message names a setting.
func (g settingSources) name(setting string) string {
	flag := "-" + setting
	if from := g[setting]; from != "" && from != flag {
		return flag + " (set by " + from + ")"
	}
	return flag
}

// readConfig merges args, env and the config file; the first of these that has
// a setting wins. An error names the flag, the variable or the line of the
// file. flag.ErrHelp means that help was asked for.
func readConfig(args []string, env environment) (config, error) {
	cfg := config{sources: make(settingSources)}
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
	flags.Visit(func(f *flag.Flag) { cfg.sources[f.Name] = "-" + f.Name })
	return cfg, cfg.readSources(flags, env)
}

// readSources adds what env and the config file set to the settings of the command line,
// and validates all of them.
func (cfg *config) readSources(flags *flag.FlagSet, env environment) (err error) {
	if err := readEnvironment(flags, env, cfg.sources); err != nil {
		return err
	}
	if err := readFile(flags, cfg); err != nil {
		return err
	}
	if cfg.monitoring.pprofAuth, err = env.pprofAuth(); err != nil {
		return err
	}
	return cfg.validate()
}

// leftOver returns the error for args[i], at which the flags end. It may be a
// secret, and is not repeated.
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
	all.VisitAll(func(f *flag.Flag) { f.Value = quotedValue{f.Value} })
	return all
}

// A value may be a secret in the wrong place, and errors are kept in logs, so no
// error repeats a value.
var (
	flagError   = regexp.MustCompile(`(?s)^invalid (?:boolean )?value "(?:[^"\\]|\\.)*" for (?:flag )?-([^ :]+): (.*)$`)
	unknownFlag = regexp.MustCompile(`(?s)^flag provided but not defined: -(.*)$`)
	settingName = regexp.MustCompile(`^-{0,2}[A-Za-z][A-Za-z0-9_-]*$`) // known or not
)

// withoutValue returns an error of package flag without the value that it
// repeats.
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

// isSetting reports whether a flag may also be set by the environment or a
// file.
func isSetting(f *flag.Flag) bool {
	_, old := removedFlags()[f.Name]
	_, own := f.Value.(commandFlag)
	return f.Name != versionFlag && !old && !own
}

func isBool(f *flag.Flag) bool {
	return quotedValue{f.Value}.IsBoolFlag()
}
