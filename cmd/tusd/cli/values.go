package cli

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/filestore"
)

// setting is a flag.Value: set checks and stores a text, text is the current
// one.
type setting struct {
	text string
	set  func(string) error
}

func (s *setting) String() string { return s.text }

func (s *setting) Set(text string) error {
	if err := s.set(text); err != nil {
		return err
	}
	s.text = text
	return nil
}

// declare adds a flag whose default goes through the same check as any value.
func declare(flags *flag.FlagSet, name, preset, usage string, set func(string) error) {
	if err := set(preset); err != nil {
		panic(fmt.Sprintf("default of -%s: %v", name, err)) // a mistake in the list above
	}
	flags.Var(&setting{text: preset, set: set}, name, usage)
}

func portVar(flags *flag.FlagSet, p *uint16, name string, preset uint16, usage string) {
	declare(flags, name, strconv.Itoa(int(preset)), usage, func(text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return errors.New("must be a number from 0 to 65535")
		}
		*p = uint16(n)
		return nil
	})
}

func digestVar(flags *flag.FlagSet, p *string, name, usage string) {
	declare(flags, name, "", usage, func(text string) error {
		if !slices.Contains([]string{"", "sha256", "sha512", "sha1", "md5", "crc32c"}, text) {
			return errors.New("must be sha256, sha512, sha1, md5 or crc32c")
		}
		*p = text
		return nil
	})
}

func sizeVar(flags *flag.FlagSet, p *int64, name, usage string) {
	declare(flags, name, "0", usage, func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return errors.New("must be a whole number of bytes, not negative")
		}
		*p = n
		return nil
	})
}

func dirVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	declare(flags, name, preset, usage, func(text string) error {
		if text == "" {
			return errors.New("must not be empty")
		}
		*p = text
		return nil
	})
}

func durabilityVar(flags *flag.FlagSet, p *filestore.Durability, name, preset, usage string) {
	declare(flags, name, preset, usage, func(text string) error {
		d, err := filestore.ParseDurability(text)
		if err == nil {
			*p = d
		}
		return err
	})
}

// durationVar adds a flag for a duration of at least least.
func durationVar(flags *flag.FlagSet, p *time.Duration, name string, preset, least time.Duration, usage string) {
	declare(flags, name, preset.String(), usage, func(text string) error {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return errors.New("must be a duration like 500ms, 30s or 2m")
		case d < least:
			return errors.New("is too short")
		}
		*p = d
		return nil
	})
}

func basePathVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	declare(flags, name, preset, usage, func(text string) error {
		base, err := cleanBasePath(text)
		if err == nil {
			*p = base
		}
		return err
	})
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
