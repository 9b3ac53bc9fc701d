package prometheuscollector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
)

// SpaceCollector is a prometheus.Collector of the space that a store with a limit uses. It is
// safe for concurrent use.
type SpaceCollector struct {
	usage func() tusd.SpaceUsage
}

var _ prometheus.Collector = (*SpaceCollector)(nil)

// NewSpace returns the collector of a store with a limit. usage is called for each
// collection, like limitedstore.LimitedStore.Usage.
func NewSpace(usage func() tusd.SpaceUsage) *SpaceCollector { return &SpaceCollector{usage} }

var (
	storeBytes    = describe("tusd_store_bytes", "Bytes that are stored for uploads.")
	reservedBytes = describe("tusd_store_reserved_bytes", "Bytes that count against the limit: also those that incomplete uploads will have.")
	limitBytes    = describe("tusd_store_limit_bytes", "Limit of the bytes of all uploads.")
	sumExact      = describe("tusd_store_sum_exact", "1 if the sums are exact, 0 while the uploads are counted, or while changes are in doubt.")
)

// Describe implements prometheus.Collector.
func (*SpaceCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{storeBytes, reservedBytes, limitBytes, sumExact} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *SpaceCollector) Collect(to chan<- prometheus.Metric) {
	u := c.usage()
	to <- gauge(storeBytes, u.Stored)
	to <- gauge(reservedBytes, u.Reserved)
	to <- gauge(limitBytes, u.Limit)
	var exact int64
	if u.Exact {
		exact = 1
	}
	to <- gauge(sumExact, exact)
}
