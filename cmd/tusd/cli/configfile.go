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

// readFile sets what is not set yet from the file of -config. ff finds the set
// flags in the flag set.
func readFile(flags *flag.FlagSet, cfg *config) error {
	if cfg.configFile == "" {
		return nil
	}
	parser := configParser{file: cfg.configFile, flags: flags, sources: cfg.sources, seen: make(map[string]int)}
	err := ff.Parse(flags, nil, ff.WithConfigFileVia(&cfg.configFile), ff.WithConfigFileParser(parser.parse))
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.sources.name("config"), err)
	}
	return nil
}

// configParser passes a config file to ff line by line, so that errors name the
// line.
type configParser struct {
	file    string
	flags   *flag.FlagSet
	sources settingSources
	seen    map[string]int // the line of each setting
}

func (l configParser) parse(r io.Reader, set func(name, value string) error) error {
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // written by editors of Windows
		}
		line := splitLine(text)
		if line == (configLine{}) {
			continue
		}
		if err := l.set(n, line, set); err != nil {
			return fmt.Errorf("%s, line %d: %w", l.file, n, err)
		}
	}
	return scanner.Err()
}

// configLine is a setting of a file and its value; "" means that there is none.
type configLine struct {
	name, value string
	separator   string // = or : between the two; "": only space
}

// splitLine splits a line: name value, name=value or name: value. Space around
// = and behind the colon does not count. A colon behind a space begins the
// value, as in admin-listen :9090, unless it stands alone.
func splitLine(text string) (l configLine) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "#") {
		return configLine{}
	}
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '=' || r == ':' })
	if end < 0 {
		return configLine{name: text}
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

// trailingComment matches a comment behind a value: # behind a space.
var trailingComment = regexp.MustCompile(`\s#.*`)

// withoutComment removes a trailing comment, but not from quoted text.
func withoutComment(value string) string {
	begin := strings.TrimLeftFunc(value, unicode.IsSpace)
	if begin != "" && strings.Contains(`"'`, begin[:1]) {
		if _, behind, closed := strings.Cut(begin[1:], begin[:1]); closed {
			return strings.TrimSuffix(begin, behind) + trailingComment.ReplaceAllString(behind, "")
		}
	}
	return trailingComment.ReplaceAllString(value, "")
}

// set passes a setting to ff, unless it is unknown or was set before. Only a
// flag that is on or off may stand without a value, which means on.
func (l configParser) set(n int, line configLine, set func(name, value string) error) error {
	name, value := line.name, line.value
	f := l.flags.Lookup(name)
	advice := removedFlags()[name]
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
	if l.sources[name] == "" {
		l.sources[name] = fmt.Sprintf("%s, line %d", l.file, n)
	}
	return set(name, value)
}

// noSetting returns the error for a line of a file that does not begin with a
// setting. A line without a value may be a secret, and is not repeated.
func noSetting(word, value string) error {
	if !settingName.MatchString(word) || strings.Trim(value, "=") == "" {
		return errors.New("it does not begin with the name of a setting")
	}
	return fmt.Errorf("there is no setting %q%s", word, didYouMean(word, settingNames("config", versionFlag), settingOf))
}
