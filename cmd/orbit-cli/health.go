package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
)

// healthCommand asks providers how they do.
type healthCommand struct {
	storeFlags
}

// Help is what --help says below the summary.
func (healthCommand) Help() string {
	return `Asks every provider of the configuration, or the one of --provider or --backend, and
says for each that is not healthy why. One that cannot be opened is unhealthy.

  orbit-cli health --config orbit.toml
  orbit-cli health --config orbit.toml --json || page-someone
` + strings.ReplaceAll(storeHelp, `
Exit codes:
  0  done
  1  it is not so, or it failed: no such key, a condition that does not hold, a store that
     cannot be opened
  2  the command was called wrongly
`, `
Exit codes:
  0  all are healthy
  1  one is unhealthy, or the configuration cannot be read
  2  the command was called wrongly
  3  none is unhealthy, and one is degraded
`)
}

// providerHealth is how one provider does.
type providerHealth struct {
	Provider string   `json:"provider"`
	Backend  string   `json:"backend"`
	State    string   `json:"state"`
	Reasons  []string `json:"reasons"`
}

// Run asks the providers.
func (c *healthCommand) Run(ctx context.Context) error {
	return c.run(ctx, func(s *session) error {
		worst := providers.Healthy
		var healths []providerHealth
		err := c.each(s, func(name string, b config.Backend, p *providers.Provider, err error) error {
			h := providers.Health{State: providers.Unhealthy}
			if err == nil {
				h = p.Health(s.ctx)
			} else {
				h.Reasons = []string{err.Error()}
			}
			worst = max(worst, h.State)
			healths = append(healths, providerHealth{name, string(b.Kind()), h.State.String(), append([]string{}, h.Reasons...)})
			return nil
		})
		if err != nil {
			return err
		}
		if s.json {
			if err := s.printJSON(map[string]any{"state": worst.String(), "providers": healths}); err != nil {
				return err
			}
		} else {
			for _, h := range healths {
				colour := map[string]string{"healthy": green, "degraded": yellow, "unhealthy": red}[h.State]
				s.printf("%s (%s): %s\n", h.Provider, h.Backend, s.coloured(h.State, colour))
				for _, reason := range h.Reasons {
					s.printf("  %s\n", reason)
				}
			}
		}
		switch worst {
		case providers.Unhealthy:
			return exitError{1}
		case providers.Degraded:
			return exitError{3}
		}
		return nil
	})
}

// each opens providers one after the other: the one that is named, else all. do is told
// the error of one that cannot be opened.
func (f *storeFlags) each(s *session, do func(name string, b config.Backend, p *providers.Provider, err error) error) error {
	c, err := f.read(os.Environ())
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(c.Providers))
	if f.Provider != "" {
		name, _, err := c.Provider(f.Provider)
		if err != nil {
			return bench.Usagef("--provider: %w", err)
		}
		names = []string{name}
	}
	for _, name := range names {
		b := c.Providers[name]
		var p *providers.Provider
		err := check(name, b, false)
		if err == nil {
			p, err = all.OpenOne(s.ctx, c, name, quiet)
		}
		err = do(name, b, p, err)
		if p != nil {
			err = errors.Join(err, p.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// metricsCommand prints what providers tell of themselves.
type metricsCommand struct {
	storeFlags
}

// Help is what --help says below the summary.
func (metricsCommand) Help() string {
	return `Prints what every provider of the configuration, or the one of --provider or --backend,
tells of its store: space, memory, what compaction has before it, and the figures that
only its backend has. What counts calls counts those of this command; a server's own are
shown by package providers/prometheus.

  orbit-cli metrics --config orbit.toml --provider records
  orbit-cli metrics --backend lsm --dir ./data --json | jq .details.level_6_bytes
` + storeHelp
}

// providerMetrics is what one provider tells.
type providerMetrics struct {
	Provider           string             `json:"provider"`
	Backend            string             `json:"backend"`
	Version            string             `json:"version"`
	Durability         string             `json:"durability"`
	MemoryUsage        float64            `json:"memory_usage"`
	DiskUsage          float64            `json:"disk_usage"`
	CompactionBacklog  float64            `json:"compaction_backlog"`
	CacheHits          uint64             `json:"cache_hits"`
	CacheMisses        uint64             `json:"cache_misses"`
	MemoryBytes        uint64             `json:"memory_bytes"`
	DiskBytes          uint64             `json:"disk_bytes"`
	Entries            uint64             `json:"entries,omitempty"`
	EntryLimit         uint64             `json:"entry_limit,omitempty"`
	MemoryLimitBytes   uint64             `json:"memory_limit_bytes,omitempty"`
	Evictions          uint64             `json:"evictions,omitempty"`
	ReadOperations     uint64             `json:"read_operations"`
	WriteOperations    uint64             `json:"write_operations"`
	DeleteOperations   uint64             `json:"delete_operations"`
	ErrorCount         uint64             `json:"error_count"`
	ReadLatencyMicros  float64            `json:"read_latency_mean_us"`
	WriteLatencyMicros float64            `json:"write_latency_mean_us"`
	Details            map[string]float64 `json:"details,omitempty"`
}

// Run prints the metrics.
func (c *metricsCommand) Run(ctx context.Context) error {
	return c.run(ctx, func(s *session) error {
		return c.each(s, func(name string, b config.Backend, p *providers.Provider, err error) error {
			if err != nil {
				return err
			}
			if err := p.Driver().Ping(s.ctx); err != nil { // a store that does not answer has no figures
				return err
			}
			m, caps := p.Metrics(), p.Capabilities()
			r := m.Report
			told := providerMetrics{
				name, string(b.Kind()), caps.Version, caps.Durability.String(), m.MemoryUsagePercent, m.DiskUsagePercent, m.CompactionBacklog,
				m.CacheHits, m.CacheMisses, r.MemoryBytes, r.DiskBytes, r.Entries, r.EntryLimit, r.MemoryLimitBytes, r.Evictions,
				m.ReadOperations, m.WriteOperations, m.DeleteOperations, m.ErrorCount,
				float64(m.ReadLatency.Mean()) / float64(time.Microsecond), float64(m.WriteLatency.Mean()) / float64(time.Microsecond), r.Details,
			}
			if s.json {
				return s.printJSON(told)
			}
			s.printf("%s: %s, %s, acknowledged writes survive: %s\n", name, b.Kind(), caps.Version, caps.Durability)
			t := s.table()
			t.head = nil
			for _, line := range [][2]any{
				{"memory_usage", told.MemoryUsage}, {"disk_usage", told.DiskUsage}, {"compaction_backlog", told.CompactionBacklog},
				{"memory_bytes", told.MemoryBytes}, {"disk_bytes", told.DiskBytes}, {"cache_hits", told.CacheHits}, {"cache_misses", told.CacheMisses},
			} {
				t.row("  "+line[0].(string), number(line[1]))
			}
			for _, name := range slices.Sorted(maps.Keys(r.Details)) {
				t.row("  "+name, number(r.Details[name]))
			}
			return t.flush()
		})
	})
}

// number prints a figure without digits that say nothing.
func number(v any) string {
	if f, ok := v.(float64); ok {
		if f == float64(int64(f)) {
			return fmt.Sprint(int64(f))
		}
		return fmt.Sprintf("%.3f", f)
	}
	return fmt.Sprint(v)
}
