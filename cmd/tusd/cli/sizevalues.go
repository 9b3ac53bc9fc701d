package cli

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// sizeVar adds a flag for a number of bytes.
func sizeVar(flags *flag.FlagSet, p *int64, name, usage string) {
	addFlag(flags, name, "0", usage, func(text string) (err error) {
		*p, err = parseSize(text)
		return err
	})
}

// bytesVar adds a flag for a number of bytes that cannot be 0.
func bytesVar(flags *flag.FlagSet, p *int64, name string, preset int64, usage string) {
	addFlag(flags, name, strconv.FormatInt(preset, 10), usage, func(text string) error {
		n, err := parseSize(text)
		if err == nil && n == 0 {
			err = errors.New("must be a number of bytes, more than 0")
		}
		*p = n
		return err
	})
}

// memoryVar adds a flag for a number of bytes in memory, at least least.
func memoryVar(flags *flag.FlagSet, p *int, name string, preset, least int, usage string) {
	addFlag(flags, name, strconv.Itoa(preset), usage, func(text string) error {
		n, err := parseSize(text)
		switch {
		case err != nil:
			return err
		case n < int64(least):
			return fmt.Errorf("must be a number of bytes, at least %d", least)
		case n > math.MaxInt:
			return fmt.Errorf("is too large: at most %d bytes", math.MaxInt)
		}
		*p = int(n)
		return nil
	})
}

// sizeForm matches a number with a unit. The number of digits is limited so
// that it is parsed quickly.
var sizeForm = regexp.MustCompile(`^([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]{1,3})$`)

// parseSize parses a number of bytes. Without a unit it is a whole number as in
// package flag and so in tusd v2 (1_000_000, 0x100). With a unit it may be a
// fraction, which is rounded down to whole bytes.
func parseSize(text string) (int64, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseInt(text, 0, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(text, "-"):
		return 0, errTooLarge
	case strings.HasPrefix(text, "-") && len(text) > 1:
		return 0, errors.New("must not be negative")
	case err == nil:
		return n, nil
	}
	parts := sizeForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, errNoSize
	}
	unit := unitOf(parts[2])
	if unit == 0 {
		return 0, errors.New("has an unknown unit: " + sizeUnits)
	}
	return multiply(parts[1], unit)
}

const sizeUnits = "K, M, G, T, P and E are powers of 1024, as are KiB and so on; KB and so on are powers of 1000"

var (
	errTooLarge = fmt.Errorf("is too large: at most %d bytes", int64(math.MaxInt64))
	errNoSize   = errors.New("must be a whole number of bytes, or a number with a unit like 512K, 10GiB or 1.5GB")
)

// unitOf returns the bytes of a unit, in upper or lower case; 0: it is unknown.
func unitOf(name string) int64 {
	name = strings.ToUpper(name)
	if name == "B" {
		return 1
	}
	power := strings.Index("KMGTPE", name[:1]) + 1
	base := map[string]int64{"": 1024, "I": 1024, "IB": 1024, "B": 1000}[name[1:]]
	if power == 0 || base == 0 {
		return 0
	}
	unit := int64(1)
	for range power {
		unit *= base
	}
	return unit
}

// multiply returns number times unit, in whole bytes.
func multiply(number string, unit int64) (int64, error) {
	exact, _ := new(big.Rat).SetString(number)
	exact.Mul(exact, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(exact.Num(), exact.Denom())
	switch {
	case !whole.IsInt64():
		return 0, errTooLarge
	case whole.Sign() == 0 && exact.Sign() > 0: // 0 often means no limit
		return 0, errors.New("is less than one byte")
	case unit == 1 && !exact.IsInt():
		return 0, errNoSize
	}
	return whole.Int64(), nil
}
