// Package require skips a test, or fails it, if its environment lacks something: a
// mount permission, a tool, a server, a client.
//
// On a developer's machine such a test is skipped and says why. Where it is
// meant to run, TUSD_TEST_REQUIRE names it and what is missing is a failure:
//
//	TUSD_TEST_REQUIRE=mounts,strace go test ./...
package require

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Env is the environment variable with the comma-separated components that
// must be there.
const Env = "TUSD_TEST_REQUIRE"

// Bare is the environment variable that makes every component missing, as on a
// machine that has only Go.
const Bare = "TUSD_TEST_BARE"

// Need returns if component is available. Otherwise it fails the test if
// TUSD_TEST_REQUIRE names the component, and skips it if not. why says what is
// missing and how to provide it.
func Need(t testing.TB, component string, available bool, why string) {
	t.Helper()
	if os.Getenv(Bare) != "" {
		available, why = false, Bare+" is set"
	}
	switch {
	case available:
	case Required(component):
		t.Fatalf("%s requires %s: %s", Env, component, why)
	default:
		t.Skipf("needs %s: %s", component, why)
	}
}

// Long skips a test that takes long, unless TUSD_TEST_REQUIRE names something, as in
// CI.
func Long(t testing.TB) {
	t.Helper()
	if !Thorough() {
		t.Skipf("runs where %s names something, as in CI: it takes long", Env)
	}
}

// LongWithoutRace is Long and WithoutRace.
func LongWithoutRace(t testing.TB) {
	t.Helper()
	Long(t)
	WithoutRace(t)
}

// WithoutRace skips a test that computes a lot in a build with the race detector, where it takes
// many times longer. The caller is in a package that CI tests without, too.
func WithoutRace(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("runs without the race detector: it takes long")
	}
}

// NoRace ends a test of allocations or of memory, as skipped, in a build with the race
// detector, which allocates for itself.
func NoRace(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
}

// Thorough reports whether tests may take long.
func Thorough() bool { return os.Getenv(Env) != "" }

// Required reports whether TUSD_TEST_REQUIRE names component.
func Required(component string) bool {
	return slices.ContainsFunc(strings.Split(os.Getenv(Env), ","), func(name string) bool {
		return strings.TrimSpace(name) == component
	})
}
