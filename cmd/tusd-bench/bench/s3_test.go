//go:build linux

package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/internal/require"
)

// shortOnS3 are flags with small parts, so that a short run has several.
var shortOnS3 = []string{
	"-s3", "-s3-latency", "5ms", "-s3-part-size", "5M", "-s3-concurrent-part-uploads", "2", "-s3-disable-content-hashes",
	"-pairs", "2", "-clients", "2", "-size", "11M", "-chunk-size", "6M",
}

// TestServerOnS3 uploads in one PATCH and in several to the built-in service, and
// compares with all forms of the SDK's uploader.
func TestServerOnS3(t *testing.T) {
	t.Parallel()
	r := runReport(t, slices.Concat(shortOnS3, []string{"-server", builder.daemon(t), "-sdk", "-work", "patch,chunks"})...)
	if len(r.Rows) != 2*5 || len(r.Ratios) != 2*5 {
		t.Fatalf("%d rows and %d ratios, want 10 and 10", len(r.Rows), len(r.Ratios))
	}
	for i, row := range r.Rows {
		mustBeRow(t, row, []string{"server", "uploader", "receiver", "both", "both'"}[i%5])
		// each PATCH makes at least one call, unless its content is dropped
		if row.Server != "receiver" && row.P50 < 5*time.Millisecond {
			t.Errorf("%s: a PATCH took %v, a call alone takes 5 ms", row.Server, row.P50)
		}
	}
	for i, ratio := range r.Ratios {
		mustBeRatio(t, ratio, [][2]string{
			{"server", "both"}, {"uploader", "both"}, {"receiver", "both"}, {"both'", "both"}, {"server", "uploader+receiver"},
		}[i%5])
	}
}

// TestServerOnS3Alone runs the workloads without a comparison.
func TestServerOnS3Alone(t *testing.T) {
	require.Long(t)
	t.Parallel()
	args := slices.Concat(shortOnS3, []string{"-server", builder.daemon(t), "-requests", "10", "-work", "head,small,cwu"})
	if r := runReport(t, args...); len(r.Rows) != 3 || len(r.Ratios) != 0 {
		t.Errorf("%d rows and %d ratios, want 3 and none", len(r.Rows), len(r.Ratios))
	}
}

// withCPU adds the CPU time of the second series, and keeps the elapsed time of the
// first.
func TestWithCPU(t *testing.T) {
	a, b := series{sample(20, 100), sample(30, 200)}, series{sample(5, 300), sample(7, 50)}
	sum := withCPU(a, b)
	for i, want := range []load.Sample{sample(25, 100), sample(37, 200)} {
		if sum[i].Usage.CPU != want.Usage.CPU || sum[i].Elapsed != want.Elapsed || sum[i].P99 != want.P99 {
			t.Errorf("round %d: %+v, %+v", i, sum[i], *sum[i].Usage)
		}
	}
	if a[0].Usage.CPU != 20 {
		t.Error("the sum has changed its operand")
	}
	b[1].Usage = nil
	if sum := withCPU(a, b); sum[1].Usage != nil {
		t.Error("a sum with an unknown CPU time")
	}
}
