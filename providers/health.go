package providers

import (
	"context"
	"fmt"
	"time"
)

// HealthState is how a provider does.
type HealthState uint8

const (
	// Healthy: it works as it should.
	Healthy HealthState = iota
	// Degraded: it works, and something needs looking after.
	Degraded
	// Unhealthy: it does not work.
	Unhealthy
)

// String returns "healthy", "degraded" or "unhealthy".
func (s HealthState) String() string {
	if names := [...]string{"healthy", "degraded", "unhealthy"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("health(%d)", uint8(s))
}

// Health is how a provider does, and why; Healthy has no reasons.
type Health struct {
	State   HealthState
	Reasons []string
}

func (h *Health) add(s HealthState, reason string) {
	h.State = max(h.State, s)
	h.Reasons = append(h.Reasons, reason)
}

// Thresholds are those above which a provider is Degraded. Zeros are the defaults,
// which the shipped alerts have too.
type Thresholds struct {
	// MemoryUsagePercent, 0 is 80, and DiskUsagePercent, 0 is 85.
	MemoryUsagePercent, DiskUsagePercent float64
	// CompactionBacklog, 0 is 10, in the unit of Metrics.
	CompactionBacklog float64
	// PingTimeout bounds the question whether the backend is there; 0 is 5 s.
	PingTimeout time.Duration
}

// Health asks the backend whether it works, and looks at the metrics.
func (p *Provider) Health(ctx context.Context) Health {
	var h Health
	s, err := p.use()
	if err != nil {
		h.add(Unhealthy, err.Error())
		return h
	}
	t := p.config.Thresholds
	set(&t.PingTimeout, 5*time.Second)
	open, circuit := s.circuit.state()
	switch {
	case open:
		h.add(Unhealthy, circuit)
	case circuit != "":
		h.add(Degraded, circuit)
	}
	ping, cancel := context.WithTimeout(ctx, t.PingTimeout)
	defer cancel()
	// The base is asked past the circuit, so that health shows what is now.
	if err := s.base.Ping(ping); err != nil {
		h.add(Unhealthy, "ping: "+err.Error())
	}
	m := p.Metrics()
	t.judge(&h, &m)
	if n := p.choreFailure.Load(); n != nil {
		h.add(Degraded, "sweeping what has expired, or was abandoned, fails: "+*n)
	}
	return h
}

// Judge returns what metrics say of health.
func (t Thresholds) Judge(m Metrics) (h Health) {
	t.judge(&h, &m)
	return h
}

func (t Thresholds) judge(h *Health, m *Metrics) {
	set(&t.MemoryUsagePercent, 80)
	set(&t.DiskUsagePercent, 85)
	set(&t.CompactionBacklog, 10)
	if m.Report.Degraded != "" {
		h.add(Degraded, m.Report.Degraded)
	}
	if m.MemoryUsagePercent > t.MemoryUsagePercent {
		h.add(Degraded, fmt.Sprintf("memory_usage is %.0f %%, above %.0f %%", m.MemoryUsagePercent, t.MemoryUsagePercent))
	}
	if m.DiskUsagePercent > t.DiskUsagePercent {
		h.add(Degraded, fmt.Sprintf("disk_usage is %.0f %%, above %.0f %%", m.DiskUsagePercent, t.DiskUsagePercent))
	}
	if m.CompactionBacklog > t.CompactionBacklog {
		h.add(Degraded, fmt.Sprintf("compaction_backlog is %.1f, above %.0f", m.CompactionBacklog, t.CompactionBacklog))
	}
}
