package storetest

import (
	"reflect"
	"slices"
	"testing"
)

// A field that fullInfo lacks could be lost by a store without a failure.
func TestFullInfoHasEveryField(t *testing.T) {
	zero := []string{"SizeIsDeferred", "Offset", "IsPartial", "Storage", "Changed"}
	v := reflect.ValueOf(fullInfo("a"))
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !slices.Contains(zero, name) {
			t.Errorf("fullInfo does not set %s", name)
		}
	}
}
