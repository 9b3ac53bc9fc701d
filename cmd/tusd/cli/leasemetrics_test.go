package cli

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd/internal/lease"
)

func TestLeaseMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newLeaseCollector("redis", func() lease.Stats {
		return lease.Stats{Held: 1, Waiting: 2, Calls: 3, Failures: 4, Lost: 5, Unreachable: true}
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"tusd_lock_service_leases": 1, "tusd_lock_service_waiting_requests": 2, "tusd_lock_service_calls_total": 3,
		"tusd_lock_service_failures_total": 4, "tusd_lock_service_lost_leases_total": 5, "tusd_lock_service_up": 0,
	}
	for _, f := range families {
		m := f.GetMetric()[0]
		got := m.GetGauge().GetValue() + m.GetCounter().GetValue()
		if value, ok := want[f.GetName()]; !ok || got != value {
			t.Errorf("%s is %v, want %v", f.GetName(), got, value)
		}
		delete(want, f.GetName())
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
