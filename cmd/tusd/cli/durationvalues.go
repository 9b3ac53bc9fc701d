package cli

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// minDuration is the shortest duration that a flag takes: a shorter one has a
// wrong unit.
const minDuration = time.Millisecond

// durationVar adds a flag for a duration of at least minDuration.
func durationVar(flags *flag.FlagSet, p *time.Duration, name string, preset time.Duration, usage string) {
	addFlag(flags, name, preset.String(), usage, func(text string) error {
		d, err := parseDuration(text)
		if err == nil && d < minDuration {
			err = fmt.Errorf("is too short: it must be at least %v", minDuration)
		}
		*p = d
		return err
	})
}

// durationOrZeroVar is durationVar for settings in which 0 has a meaning.
func durationOrZeroVar(flags *flag.FlagSet, p *time.Duration, name string, preset time.Duration, usage string) {
	addFlag(flags, name, preset.String(), usage, func(text string) error {
		d, err := parseDuration(text)
		if err == nil && d < minDuration && d != 0 {
			err = fmt.Errorf("is too short: it must be 0 or at least %v", minDuration)
		}
		*p = d
		return err
	})
}

// secondsVar adds a flag for a number of seconds, which is passed on as it is,
// or a duration.
func secondsVar(flags *flag.FlagSet, p *string, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) error {
		text = strings.TrimSpace(text)
		if _, err := strconv.ParseInt(text, 10, 32); err == nil {
			*p = text
			return nil
		}
		d, err := parseDuration(text)
		if err != nil || d%time.Second != 0 || d/time.Second != time.Duration(int32(d/time.Second)) {
			return errors.New("must be a whole number of seconds, or a duration like 30m, 12h or 1d")
		}
		*p = strconv.FormatInt(int64(d/time.Second), 10)
		return nil
	})
}

// nanosecondsVar adds a flag for a number of nanoseconds, or a duration.
func nanosecondsVar(flags *flag.FlagSet, p *int, name, usage string) {
	addFlag(flags, name, "0", usage, func(text string) error {
		n, err := parseCount(text)
		if err != nil {
			var d time.Duration
			d, err = parseDuration(text)
			n = int(min(d, math.MaxInt))
		}
		if err != nil || n < 0 {
			return errors.New("must be a whole number of nanoseconds, or a duration like 10us or 1ms")
		}
		*p = n
		return nil
	})
}

var (
	plainNumber  = regexp.MustCompile(`^[+-]?[0-9][0-9_.]*$`)
	durationForm = regexp.MustCompile(`^([+-]?)((?:\s*[0-9.]+\s*[a-zµμ]+)+)$`)
	durationPart = regexp.MustCompile(`([0-9.]+)\s*([a-zµμ]+)`)
)

// parseDuration parses durations as package flag and so tusd v2 does, and also
// days, weeks and spaces: 1d 12h. A number without a unit is refused, but for
// 0: it was milliseconds in old versions of tusd, and looks like seconds.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	if plainNumber.MatchString(text) {
		return 0, errors.New("must be a duration with a unit, like 500ms, 30s, 2m, 12h or 1d")
	}
	form := durationForm.FindStringSubmatch(text)
	if form == nil {
		return 0, errNoDuration
	}
	var sum time.Duration
	for _, part := range durationPart.FindAllStringSubmatch(form[2], -1) {
		d, err := durationOf(part[1], part[2])
		if err != nil {
			return 0, err
		}
		if sum += d; sum < d { // d is not negative
			return 0, errDurationTooLong
		}
	}
	if form[1] == "-" {
		sum = -sum
	}
	return sum, nil
}

var (
	errNoDuration      = errors.New("must be a duration like 500ms, 30s, 2m, 12h or 1d")
	errDurationTooLong = errors.New("is too long: at most 106751 days")
)

// durationOf returns number units.
func durationOf(number, unit string) (time.Duration, error) {
	hours := map[string]time.Duration{"d": 24, "w": 7 * 24}[unit]
	if hours == 0 {
		hours = 1
	} else {
		unit = "h"
	}
	if _, err := strconv.ParseFloat(number, 64); err != nil {
		return 0, errNoDuration
	}
	if _, err := time.ParseDuration("1" + unit); err != nil {
		return 0, errNoDuration
	}
	d, err := time.ParseDuration(number + unit)
	if err != nil || d > math.MaxInt64/hours {
		return 0, errDurationTooLong
	}
	return d * hours, nil
}
