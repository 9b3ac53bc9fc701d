package datakey_test

import (
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// A reserved name is not a valid id.
func TestReservedIsNoID(t *testing.T) {
	names := []string{".tusd", ".tusd.d"}
	for _, suffix := range datakey.ReservedSuffixes {
		names = append(names, "x"+suffix)
	}
	for _, name := range names {
		if tusd.ValidateID(name) == nil || !datakey.Reserved(name) || !datakey.ReservedAnyCase(strings.ToUpper(name)) {
			t.Errorf("%s is a valid id, or is not reserved", name)
		}
	}
}
