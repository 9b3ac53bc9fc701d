package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd/internal/lease"
)

// leaseCollector collects the metrics of a locker of a lock service.
type leaseCollector struct {
	stats                                           func() lease.Stats
	held, waiting, calls, failures, lost, reachable *prometheus.Desc
}

func newLeaseCollector(locker string, stats func() lease.Stats) *leaseCollector {
	metric := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("tusd_lock_service_"+name, help, nil, prometheus.Labels{"locker": locker})
	}
	return &leaseCollector{
		stats:     stats,
		held:      metric("leases", "Locks of uploads that this server holds."),
		waiting:   metric("waiting_requests", "Requests that ask the lock service for a lock, or wait for another server to release it."),
		calls:     metric("calls_total", "Calls of the lock service."),
		failures:  metric("failures_total", "Calls that the lock service did not answer."),
		lost:      metric("lost_leases_total", "Locks that were lost while a request needed them."),
		reachable: metric("up", "1 if the lock service answered the last call, else 0."),
	}
}

func (c *leaseCollector) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descs)
}

func (c *leaseCollector) Collect(metrics chan<- prometheus.Metric) {
	s := c.stats()
	up := 1.0
	if s.Unreachable {
		up = 0
	}
	for _, m := range []struct {
		desc  *prometheus.Desc
		kind  prometheus.ValueType
		value float64
	}{
		{c.held, prometheus.GaugeValue, float64(s.Held)},
		{c.waiting, prometheus.GaugeValue, float64(s.Waiting)},
		{c.calls, prometheus.CounterValue, float64(s.Calls)},
		{c.failures, prometheus.CounterValue, float64(s.Failures)},
		{c.lost, prometheus.CounterValue, float64(s.Lost)},
		{c.reachable, prometheus.GaugeValue, up},
	} {
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value)
	}
}
