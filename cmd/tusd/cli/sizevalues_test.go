package cli

import (
	"math"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "10737418240": 10 << 30, "9223372036854775807": math.MaxInt64,
		"+5": 5, "1_000_000": 1e6, "0x10": 16, // as package flag reads numbers
		"1K": 1 << 10, "1M": 1 << 20, "10G": 10 << 30, "1T": 1 << 40, "1P": 1 << 50, "7E": 7 << 60,
		"512KiB": 512 << 10, "10GiB": 10 << 30, "1Ki": 1 << 10, "3TiB": 3 << 40,
		"512KB": 512e3, "10GB": 10e9, "1.5TB": 15e11, "9EB": 9e18,
		"1.5G": 3 << 29, "0.5K": 512, "1.1K": 1126, "0.3KiB": 307, "00010K": 10 << 10, "7.999999999999999999E": 9223372036854775806,
		"10g": 10 << 30, "10gb": 10e9, "10gib": 10 << 30, "100B": 100, "100b": 100, "3.0B": 3,
		" 10 ": 10, "10 G": 10 << 30, " 10  GiB ": 10 << 30, "0G": 0,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "must be a whole number", "G": "must be a whole number", "1.5": "must be a whole number", "1,5G": "must be a whole number",
		"1.5B": "must be a whole number", ".5G": "must be a whole number", "1.G": "must be a whole number", "1e9": "must be a whole number",
		"10G10": "must be a whole number", "G10": "must be a whole number", "ten": "must be a whole number", "-": "must be a whole number",
		"1/2K": "must be a whole number", "0x10K": "must be a whole number", "10GiBs": "must be a whole number", "unlimited": "must be a whole number",
		"-1": "must not be negative", "-10G": "must not be negative", "-9223372036854775809": "must not be negative",
		"10X": "unknown unit", "10Gx": "unknown unit", "10KK": "unknown unit", "10bb": "unknown unit", "10GBi": "unknown unit",
		"9223372036854775808": "too large", "8E": "too large", "99999999999G": "too large", "9.3EB": "too large", "999999999999999999999999999999E": "too large",
		"0.0001K": "less than one byte", "0.000000000000000000000000000001E": "less than one byte",
	} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), want) || got != 0 {
			t.Errorf("%q: %d, %v; want %q", text, got, err, want)
		}
	}
}

// Sizes in memory are bounded by the largest int.
func TestMemorySizes(t *testing.T) {
	cfg, err := parse("-max-header-size", "1M", "-max-metadata-size", "64KB")
	if err != nil || cfg.limits.maxHeaderSize != 1<<20 || cfg.limits.maxMetadataSize != 64000 {
		t.Errorf("%d and %d, %v", cfg.limits.maxHeaderSize, cfg.limits.maxMetadataSize, err)
	}
	large, err := parse("-max-header-size", "4G")
	if math.MaxInt == math.MaxInt32 {
		if err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%d, %v", large.limits.maxHeaderSize, err)
		}
	} else if int64(large.limits.maxHeaderSize) != 4<<30 {
		t.Errorf("%d, %v", large.limits.maxHeaderSize, err)
	}
}
