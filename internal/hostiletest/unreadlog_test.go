//go:build linux

package hostiletest

import (
	"strings"
	"testing"
)

// TestUnreadLog attacks a daemon whose log is not read with requests that write much to
// it.
func TestUnreadLog(t *testing.T) {
	long := strings.Repeat("p", 200<<10)
	runAttacks(t, func(tb testing.TB) *target {
		to := onFiles(tb)
		tb.Cleanup(to.StopReading())
		return to
	}, []attack{
		{name: "long paths", run: requestFlood(300, func(a *attacker, _ int) string { return a.head("HEAD", "/"+long) })},
		{name: "ids that do not exist", run: requestFlood(5000, func(a *attacker, _ int) string { return a.head("HEAD", uploads+"unknown") })},
	})
}
