// Package prometheus shows the metrics of providers to Prometheus, and ships the alerts
// that fit them. It is apart so that nobody else links Prometheus's client.
package prometheus

import (
	_ "embed"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/prometheus/client_golang/prometheus"
)

// Alerts are the recommended alerting rules, a rules file of Prometheus.
//
//go:embed alerts.yml
var Alerts string

// Source is what has metrics: a *providers.Provider, a store of package protocol.
type Source interface {
	Metrics() providers.Metrics
}

// Collector collects the metrics of providers. Each metric has the labels provider and
// backend.
type Collector struct {
	sources func() []Source
}

// New returns a collector of the sources that list returns at each collection; it is to
// be registered with a prometheus.Registerer. Names must differ.
func New[S Source](list func() []S) *Collector {
	return &Collector{func() []Source {
		var all []Source
		for _, s := range list() {
			all = append(all, s)
		}
		return all
	}}
}

var labels = []string{"provider", "backend"}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("orbit_"+name, help, labels, nil)
}

// metric is one counter or gauge.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(m *providers.Metrics) float64
}

// metrics have the names of the specification; counters end in _total, as Prometheus
// wants them.
var metrics = []metric{
	{desc("read_operations_total", "Reads: gets and lists, failed ones included."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.ReadOperations) }},
	{desc("write_operations_total", "Writes: puts, bulks and commits, failed ones included."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.WriteOperations) }},
	{desc("delete_operations_total", "Deletes, failed ones included."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.DeleteOperations) }},
	{desc("error_count_total", "Calls that failed; not found and conflicts are answers."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.ErrorCount) }},
	{desc("cache_hits_total", "Reads that the backend's cache answered."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.CacheHits) }},
	{desc("cache_misses_total", "Reads that the backend's cache did not answer."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.CacheMisses) }},
	{desc("evictions_total", "Entries that a configured limit has pushed out."), prometheus.CounterValue, func(m *providers.Metrics) float64 { return float64(m.Report.Evictions) }},
	{desc("memory_usage", "How much of the configured memory or entries is used, in percent; 0 without a limit."), prometheus.GaugeValue, func(m *providers.Metrics) float64 { return m.MemoryUsagePercent }},
	{desc("disk_usage", "How full the device under the provider is, in percent; 0 where it is not known."), prometheus.GaugeValue, func(m *providers.Metrics) float64 { return m.DiskUsagePercent }},
	{desc("compaction_backlog", "Work before compaction, in tables of 64 MiB."), prometheus.GaugeValue, func(m *providers.Metrics) float64 { return m.CompactionBacklog }},
	{desc("memory_bytes", "What the provider holds in memory."), prometheus.GaugeValue, func(m *providers.Metrics) float64 { return float64(m.Report.MemoryBytes) }},
	{desc("disk_bytes", "What the provider's files occupy."), prometheus.GaugeValue, func(m *providers.Metrics) float64 { return float64(m.Report.DiskBytes) }},
}

// latencies are the histograms, in seconds.
var latencies = []struct {
	desc  *prometheus.Desc
	value func(m *providers.Metrics) *providers.Latency
}{
	{desc("read_latency_seconds", "Latency of reads."), func(m *providers.Metrics) *providers.Latency { return &m.ReadLatency }},
	{desc("write_latency_seconds", "Latency of writes."), func(m *providers.Metrics) *providers.Latency { return &m.WriteLatency }},
	{desc("delete_latency_seconds", "Latency of deletes."), func(m *providers.Metrics) *providers.Latency { return &m.DeleteLatency }},
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metrics {
		out <- m.desc
	}
	for _, l := range latencies {
		out <- l.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.sources() {
		m := s.Metrics()
		for _, of := range metrics {
			out <- prometheus.MustNewConstMetric(of.desc, of.kind, of.value(&m), m.Provider, m.Backend)
		}
		for _, of := range latencies {
			l := of.value(&m)
			// One bucket for each power of two; the four within one are summed.
			buckets, sum := map[float64]uint64{}, uint64(0)
			for i, n := range l.Buckets {
				if sum += n; i%4 == 3 {
					buckets[providers.BucketBound(i).Seconds()] = sum
				}
			}
			out <- prometheus.MustNewConstHistogram(of.desc, l.Count, l.Sum.Seconds(), buckets, m.Provider, m.Backend)
		}
	}
}
