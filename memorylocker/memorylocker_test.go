package memorylocker_test

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/lockertest"
	"github.com/tus/tusd/memorylocker"
)

func TestLocker(t *testing.T) {
	lockertest.Run(t, lockertest.Harness{
		New: func(_ testing.TB, n int) []tusd.Locker {
			lockers := make([]tusd.Locker, n)
			shared := memorylocker.New()
			for i := range lockers {
				lockers[i] = shared
			}
			return lockers
		},
		Scope: tusd.ScopeProcess,
	})
}

func TestUseIn(t *testing.T) {
	composer := tusd.NewStoreComposer()
	locker := memorylocker.New()
	locker.UseIn(composer)
	if composer.Locker != locker {
		t.Errorf("the composer's locker is %v", composer.Locker)
	}
}
