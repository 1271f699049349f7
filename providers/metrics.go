package providers

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Metrics are counters since a provider was opened, and gauges of now.
type Metrics struct {
	// Provider and Backend say whose they are.
	Provider, Backend string
	// ReadOperations, WriteOperations and DeleteOperations count calls, failed ones
	// included; a list and a commit are one each.
	ReadOperations, WriteOperations, DeleteOperations uint64
	// ErrorCount counts calls that failed. ErrNotFound and ErrConflict are answers,
	// and not counted.
	ErrorCount uint64
	// CacheHits and CacheMisses are the backend's, where it has a cache.
	CacheHits, CacheMisses uint64
	// The latencies of the calls.
	ReadLatency, WriteLatency, DeleteLatency Latency
	// MemoryUsagePercent is how much of the configured memory or entries are used; 0
	// without a limit. DiskUsagePercent is how full the device is; 0 where it is not
	// known.
	MemoryUsagePercent, DiskUsagePercent float64
	// CompactionBacklog is the work before compaction, in tables of 64 MiB where the
	// backend counts bytes.
	CompactionBacklog float64
	// Report is what the backend tells of itself.
	Report driver.Report
}

// Latency is a histogram of durations. Bucket i counts those of up to BucketBound(i)
// that bucket i-1 does not.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [latencyBuckets]uint64
}

// latencyBuckets are four to each power of two of nanoseconds, up to some 68 s; what
// is longer is in the last.
const (
	latencyBuckets = 4 * (latencyTop - latencyLow)
	latencyLow     = 6 // below 64 ns is the first
	latencyTop     = 36
)

// BucketBound returns the upper bound of a bucket.
func BucketBound(i int) time.Duration {
	power, quarter := latencyLow+i/4, i%4
	return time.Duration(1<<power + (quarter+1)<<(power-2))
}

func bucketOf(d time.Duration) int {
	if d < 1<<latencyLow {
		return 0
	}
	n := uint64(d - 1) // bounds are inclusive
	power := bits.Len64(n) - 1
	if power < latencyLow {
		return 0
	}
	i := 4*(power-latencyLow) + int(n>>(power-2)&3)
	return min(i, latencyBuckets-1)
}

// Mean returns the mean; 0 of nothing.
func (l *Latency) Mean() time.Duration {
	if l.Count == 0 {
		return 0
	}
	return l.Sum / time.Duration(l.Count)
}

// Quantile returns an upper bound of the q-quantile, at most a quarter too high; 0
// of nothing.
func (l *Latency) Quantile(q float64) time.Duration {
	var total, sum uint64
	for _, n := range l.Buckets {
		total += n
	}
	for i, n := range l.Buckets {
		if sum += n; n > 0 && float64(sum) >= q*float64(total) {
			return BucketBound(i)
		}
	}
	return 0
}

// latency is a Latency that many count into at once.
type latency struct {
	sum     atomic.Int64
	buckets [latencyBuckets]atomic.Uint64
}

func (l *latency) observe(d time.Duration) {
	l.sum.Add(int64(d))
	l.buckets[bucketOf(d)].Add(1)
}

func (l *latency) snapshot() (s Latency) {
	s.Sum = time.Duration(l.sum.Load())
	for i := range l.buckets {
		s.Buckets[i] = l.buckets[i].Load()
		s.Count += s.Buckets[i]
	}
	return s
}

// kind is what a call counts as.
type kind uint8

const (
	read kind = iota
	write
	remove
	kinds
)

// meter counts the calls of a provider.
type meter struct {
	latency [kinds]latency
	errors  atomic.Uint64
}

// tableBytes is what one of CompactionBacklog stands for.
const tableBytes = 64 << 20

// Metrics returns counters and gauges. It is cheap enough to be called every second.
func (p *Provider) Metrics() Metrics {
	var r driver.Report
	if s := p.state.Load(); s != nil && s.reporter != nil {
		r = s.reporter.Report()
	}
	return p.meter.metrics(p.config.Name, p.config.Backend, r)
}

func (c *meter) metrics(provider, backend string, r driver.Report) Metrics {
	m := Metrics{Provider: provider, Backend: backend, Report: r, CacheHits: r.CacheHits, CacheMisses: r.CacheMisses, DiskUsagePercent: r.DiskUsedPercent}
	m.ReadLatency, m.WriteLatency, m.DeleteLatency = c.latency[read].snapshot(), c.latency[write].snapshot(), c.latency[remove].snapshot()
	m.ReadOperations, m.WriteOperations, m.DeleteOperations = m.ReadLatency.Count, m.WriteLatency.Count, m.DeleteLatency.Count
	m.ErrorCount = c.errors.Load()
	if r.MemoryLimitBytes > 0 {
		m.MemoryUsagePercent = 100 * float64(r.MemoryBytes) / float64(r.MemoryLimitBytes)
	}
	if r.EntryLimit > 0 {
		m.MemoryUsagePercent = max(m.MemoryUsagePercent, 100*float64(r.Entries)/float64(r.EntryLimit))
	}
	m.CompactionBacklog = float64(r.CompactionBacklog)
	if r.BacklogUnit == "bytes" {
		m.CompactionBacklog /= tableBytes
	}
	return m
}

// Meter counts the calls of what is no Provider as a Provider counts its own. Its zero
// value is ready; all of its methods may be called from many goroutines at once.
type Meter struct{ meter meter }

// Read counts a read that began at start and ended with err just now; likewise Write and
// Delete.
func (m *Meter) Read(start time.Time, err error) { m.observe(read, start, err) }

// Write counts a write.
func (m *Meter) Write(start time.Time, err error) { m.observe(write, start, err) }

// Delete counts a delete.
func (m *Meter) Delete(start time.Time, err error) { m.observe(remove, start, err) }

func (m *Meter) observe(k kind, start time.Time, err error) {
	m.meter.latency[k].observe(time.Since(start))
	if err != nil && !answer(err) {
		m.meter.errors.Add(1)
	}
}

// Metrics returns what was counted, under the names of a provider and its backend, with
// what the backend tells of itself.
func (m *Meter) Metrics(provider, backend string, r driver.Report) Metrics {
	return m.meter.metrics(provider, backend, r)
}
