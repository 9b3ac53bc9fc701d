package prometheuscollector

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
)

// HookCollector is a prometheus.Collector of the hooks of a handler. It is safe for concurrent
// use.
type HookCollector struct {
	handler *tusd.Handler
	stats   *hooks.Stats
}

var _ prometheus.Collector = (*HookCollector)(nil)

// NewHooks returns the collector of the hooks of a handler, like those of hooks.Handler:
//
//	registry.MustRegister(prometheuscollector.NewHooks(h.Handler, h.Hooks.Stats()))
func NewHooks(handler *tusd.Handler, stats *hooks.Stats) *HookCollector {
	return &HookCollector{handler, stats}
}

// The first two are of tusd v2.
var (
	hookInvocations = describe("tusd_hook_invocations_total", "Calls of hooks, also those that failed, by type of event.", "hooktype")
	hookErrors      = describe("tusd_hook_errors_total", "Calls of hooks that failed, by type of event.", "hooktype")
	hookDuration    = describe("tusd_hook_duration_seconds", "Time that calls of hooks took, by hook and type of event.", "hook", "hooktype")
	eventsWaiting   = describe("tusd_hook_events_waiting", "Events in memory that are not delivered yet.")
	oldestEvent     = describe("tusd_hook_oldest_event_seconds", "How long the oldest of the events in memory has waited; 0: there is none.")
	eventsDropped   = describe("tusd_hook_events_dropped_total", "Events that are never delivered: a newer one took their place, or they were lost with best-effort.")
	eventsDead      = describe("tusd_hook_events_dead_total", "Events whose delivery was given up.")
)

// Describe implements prometheus.Collector.
func (*HookCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{hookInvocations, hookErrors, hookDuration, eventsWaiting, oldestEvent, eventsDropped, eventsDead} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *HookCollector) Collect(to chan<- prometheus.Metric) {
	byEvent(to, hookInvocations, c.stats.Invocations)
	byEvent(to, hookErrors, c.stats.Errors)
	for hook, durations := range c.stats.Duration {
		for event, h := range durations {
			to <- histogram(hookDuration, h, hook, string(event))
		}
	}
	waiting := c.handler.DeliveryStats()
	to <- gauge(eventsWaiting, int64(waiting.Waiting))
	var age time.Duration
	if !waiting.Oldest.IsZero() {
		age = max(time.Since(waiting.Oldest), 0)
	}
	to <- prometheus.MustNewConstMetric(oldestEvent, prometheus.GaugeValue, age.Seconds())
	to <- counter(eventsDropped, c.handler.Metrics().EventsDropped.Load())
	to <- counter(eventsDead, c.handler.Metrics().EventsDead.Load())
}

func byEvent(to chan<- prometheus.Metric, desc *prometheus.Desc, counts map[tusd.EventType]*atomic.Uint64) {
	for event, n := range counts {
		to <- counter(desc, n.Load(), string(event))
	}
}
