package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/tus/tusd/filestore"
)

// parsedValue is a flag.Value: set parses and stores a text, text is the
// current one.
type parsedValue struct {
	text string
	set  func(string) error
}

func (s *parsedValue) String() string { return s.text }

func (s *parsedValue) Set(text string) error {
	if err := s.set(text); err != nil {
		return err
	}
	s.text = text
	return nil
}

// addFlag adds a flag. Its default is parsed as any value is.
func addFlag(flags *flag.FlagSet, name, preset, usage string, set func(string) error) {
	if err := set(preset); err != nil {
		panic(fmt.Sprintf("default of -%s: %v", name, err)) // a mistake in the list of flags
	}
	flags.Var(&parsedValue{text: preset, set: set}, name, usage)
}

func portVar(flags *flag.FlagSet, p *uint16, name string, preset uint16, usage string) {
	addFlag(flags, name, strconv.Itoa(int(preset)), usage, func(text string) error {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil {
			return errors.New("must be a number from 0 to 65535")
		}
		*p = uint16(n)
		return nil
	})
}

// addressVar adds a flag for an address like localhost:9090, or none.
func addressVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		if text != "" {
			_, port, err := net.SplitHostPort(text)
			if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
				return errors.New("must be host:port or :port")
			}
		}
		*p = text
		return nil
	})
}

// choiceVar adds a flag for one of a few words; the first is the default.
func choiceVar(flags *flag.FlagSet, p *string, name string, choices []string, usage string) {
	addFlag(flags, name, choices[0], usage, func(text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("must be %s", enumeration(choices))
		}
		*p = text
		return nil
	})
}

// enumeration returns "a, b or c" for words, without empty ones.
func enumeration(words []string) string {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
	last := len(words) - 1
	if last <= 0 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// countVar adds a flag for a whole number of at least least.
func countVar(flags *flag.FlagSet, p *int, name string, preset, least int, usage string) {
	addFlag(flags, name, strconv.Itoa(preset), usage, func(text string) error {
		n, err := parseCount(text)
		if err != nil || n < least {
			return fmt.Errorf("must be a whole number, at least %d", least)
		}
		*p = n
		return nil
	})
}

// parseCount reads a number as package flag and so tusd v2 does.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 0, strconv.IntSize)
	return int(n), err
}

func dirVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		if text == "" {
			return errors.New("must not be empty")
		}
		*p = text
		return nil
	})
}

// permsVar adds a flag for octal permissions, which must have the bits of
// needed: what the server made it must also be able to use.
func permsVar(flags *flag.FlagSet, p *os.FileMode, name, preset string, needed os.FileMode, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
		switch mode := os.FileMode(n); {
		case err != nil || mode&^os.ModePerm != 0:
			return errors.New("must be octal, from 0 to 777")
		case mode&needed != needed:
			return fmt.Errorf("must include %o, or the server cannot use what it made", needed)
		default:
			*p = mode
		}
		return nil
	})
}

// socketModeVar adds a flag for the permissions of a socket, or none. Its owner
// must be able to connect: the next server tries whether this one still listens.
func socketModeVar(flags *flag.FlagSet, p *os.FileMode, name, usage string) {
	const needed = 0o600
	addFlag(flags, name, "", usage, func(text string) error {
		if text == "" {
			*p = 0
			return nil
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
		switch mode := os.FileMode(n); {
		case err != nil || mode&^os.ModePerm != 0:
			return errors.New("must be octal, from 600 to 777")
		case mode&needed != needed:
			return fmt.Errorf("must include %o, or the server's own user cannot connect", needed)
		default:
			*p = mode
		}
		return nil
	})
}

// groupVar adds a flag for a group of the system, which is looked up when it is
// needed.
func groupVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		if strings.ContainsAny(text, ": \t\n") {
			return errors.New("must be the name or the number of one group")
		}
		*p = text
		return nil
	})
}

func durabilityVar(flags *flag.FlagSet, p *filestore.Durability, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		d, err := filestore.ParseDurability(text)
		if err != nil {
			return errors.New("must be ack, complete or none")
		}
		*p = d
		return nil
	})
}

// hostVar adds a flag for a host or an address; one of IPv6 may be in
// brackets, as it is in URLs.
func hostVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		*p = text
		if inner, ok := strings.CutPrefix(text, "["); ok {
			*p, ok = strings.CutSuffix(inner, "]")
			if _, err := netip.ParseAddr(*p); !ok || err != nil {
				return errors.New("has brackets around what is no address of IPv6")
			}
			return nil
		}
		if _, _, err := net.SplitHostPort(text); err == nil || strings.Contains(text, "/") {
			return errors.New("must be an address alone; -port is the port")
		}
		return nil
	})
}

func patternVar(flags *flag.FlagSet, p **regexp.Regexp, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		pattern, err := regexp.Compile(text)
		var wrong *syntax.Error
		switch {
		case errors.As(err, &wrong):
			return fmt.Errorf("is no regular expression: %s", wrong.Code)
		case err != nil:
			return errors.New("is no regular expression")
		}
		*p = pattern
		return nil
	})
}

// pathVar adds a flag for the path of a URL, kept as it is given.
func pathVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		if !strings.HasPrefix(text, "/") || text == "/" || strings.ContainsAny(text, "?# ") {
			return errors.New("must be a path like /metrics")
		}
		*p = text
		return nil
	})
}

func basePathVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		base, err := cleanBasePath(text)
		if err == nil {
			*p = base
		}
		return err
	})
}

func publicURLVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		if text != "" && !isCreationURL(text) {
			return errors.New("must be a URL like https://up.example.org/files/")
		}
		*p = text
		return nil
	})
}

// isCreationURL reports whether text is a URL that Location can begin with.
func isCreationURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	_, err = strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16)
	return err == nil
}

// cleanBasePath brings a base path into the form that requests have: escaped,
// a slash at both ends.
func cleanBasePath(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "" || u.Host != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("must be a path like /files/")
	}
	trimmed := strings.Trim(u.EscapedPath(), "/")
	if trimmed == "" {
		return "/", nil
	}
	if path.Clean("/"+trimmed) != "/"+trimmed {
		return "", errors.New("must be a path without empty, . and .. segments")
	}
	return "/" + trimmed + "/", nil
}
