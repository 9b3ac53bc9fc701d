package storetest

import (
	"context"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tbrecord"
)

// Faults is a wrapper.
func TestWrapperAcceptsFaults(t *testing.T) {
	Wrapper(t, func(_ testing.TB, inner *tusd.StoreComposer) *tusd.StoreComposer { return new(Faults).Wrap(inner) })
}

// Each ability that is in a composer has a trial: a new one makes the tests of all wrappers fail.
func TestWrapperKnowsAllAbilities(t *testing.T) {
	for _, name := range abilities() {
		if wrappedAbilities[name] == nil {
			t.Errorf("wrappedAbilities lacks %s", name)
		}
	}
	if len(wrappedAbilities) != len(abilities()) {
		t.Errorf("wrappedAbilities has %d entries, there are %d abilities", len(wrappedAbilities), len(abilities()))
	}
}

// keepsNothing is a Terminater that reaches no store.
type keepsNothing struct{}

func (keepsNothing) Terminate(context.Context, tusd.Lease, string) error { return nil }

// A wrapper with a fault is found.
func TestWrapperFindsFaults(t *testing.T) {
	for name, broken := range map[string]struct {
		wrap func(c *tusd.StoreComposer)
		log  string
	}{
		"forgets an ability":     {func(c *tusd.StoreComposer) { c.Verifier = nil }, "Verifier"},
		"claims an ability":      {func(c *tusd.StoreComposer) { c.Terminater = keepsNothing{} }, `is wrapped in one with ["Terminater"`},
		"reaches no store":       {func(c *tusd.StoreComposer) { replace(&c.Terminater, tusd.Terminater(keepsNothing{})) }, "Terminater of a wrapper: the upload is still there"},
		"does not unwrap":        {func(c *tusd.StoreComposer) { replace(&c.Rewinder, tusd.Rewinder(NewMemory())) }, "Rewinder of a wrapper: storetest: the upload is of another store"},
		"uses another store":     {func(c *tusd.StoreComposer) { replace(&c.Lister, tusd.Lister(NewMemory())) }, "Lister of a wrapper: it lists []"},
		"writes to another one":  {func(c *tusd.StoreComposer) { replace(&c.SideRecords, tusd.SideRecords(NewMemory())) }, "SideRecords of a wrapper: "},
		"verifies another store": {func(c *tusd.StoreComposer) { replace(&c.Verifier, tusd.Verifier(NewMemory())) }, "Verifier of a wrapper: "},
	} {
		failed, log := tbrecord.Run(t, func(tb testing.TB) {
			Wrapper(tb, func(_ testing.TB, inner *tusd.StoreComposer) *tusd.StoreComposer {
				c := new(Faults).Wrap(inner)
				broken.wrap(c)
				return c
			})
		})
		if !failed || !strings.Contains(log, broken.log) {
			t.Errorf("a wrapper that %s: failed %t, the log is %s", name, failed, log)
		}
	}
}

// replace replaces an ability that is there.
func replace[T comparable](ability *T, by T) {
	var none T
	if *ability != none {
		*ability = by
	}
}
