//go:build linux

package bench

import (
	"slices"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// TestHooks compares the daemon without hooks and with endpoints that answer and that hang.
func TestHooks(t *testing.T) {
	require.Long(t)
	for _, delay := range []string{"1ms", "hang"} {
		t.Run(delay, func(t *testing.T) {
			t.Parallel()
			r := runReport(t, slices.Concat(smallLoad, []string{"-server", builder.daemon(t), "-hooks", delay, "-work", "small,cwu,whole"})...)
			if len(r.Rows) != 3*4 || len(r.Ratios) != 3*3 {
				t.Fatalf("%d rows and %d ratios, want 12 and 9", len(r.Rows), len(r.Ratios))
			}
			for i, row := range r.Rows {
				mustBeRow(t, row, []string{"at-least-once", "best-effort", "off", "off'"}[i%4])
			}
			for i, ratio := range r.Ratios {
				mustBeRatio(t, ratio, [2]string{[]string{"at-least-once", "best-effort", "off'"}[i%3], "off"})
			}
		})
	}
}
