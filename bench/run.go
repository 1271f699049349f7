package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/orbit-persistence/orbit/bench/result"
	"github.com/orbit-persistence/orbit/engine"
)

// runner is a run under way.
type runner struct {
	engines  []Engine
	sections []section
	dir      string // the run's own, removed at the end
	seed     uint64
	progress *progress
	result   *result.Result
}

// contestant is one engine in one section.
type contestant struct {
	Engine
	dir    string
	proc   *engineProcess
	traits engine.Traits
	open   openCommand
	// broken is why the engine could not be started or loaded.
	broken error
}

// run measures everything. Whatever happens to an engine fails its cells; the
// error returned is one that ended the run, and what was measured before is in
// the result.
func (r *runner) run(ctx context.Context) error {
	for i := range r.sections {
		if err := r.section(ctx, &r.sections[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) section(ctx context.Context, s *section) error {
	d, err := s.data.open()
	if err != nil {
		return err
	}
	info := d.info()
	r.result.Run.Data = append(r.result.Run.Data, info)
	dataBytes := uint64(float64(info.Records) * (info.KeyBytes + info.ValueBytes))
	r.progress.section(info)

	var all []*contestant
	defer func() {
		for _, c := range all {
			if c.proc != nil {
				c.proc.Kill()
			}
			_ = os.RemoveAll(c.dir) // the run's directory goes as a whole at the end
		}
	}()
	for _, e := range r.engines {
		c := &contestant{Engine: e, dir: filepath.Join(r.dir, s.data.Label+"-"+e.Name)}
		c.open = openCommand{Dir: c.dir, Data: s.data, Config: Config{CacheBytes: s.cache, DataBytes: dataBytes, Tuning: e.Tuning, Durability: weakestOf(e.Classes)}}
		all = append(all, c)
		if e.Settings != nil {
			r.result.Run.Settings[e.Name] = e.Settings(c.open.Config)
		}
		if err := r.start(ctx, s, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.broken = err
			r.fail(s, c, loadWorkload, "-", 1, err)
		}
	}
	r.progress.line(s.data.Label + ": load")
	rng := rand.New(rand.NewPCG(r.seed, 77))
	for _, plan := range s.cells {
		var in []*contestant
		for _, c := range all {
			if c.skips(s, plan) {
				continue
			}
			in = append(in, c)
		}
		if err := r.cell(ctx, s, plan, in, rng); err != nil {
			return err
		}
	}
	if s.recovery {
		for _, c := range all {
			if err := r.recovery(ctx, s, c); err != nil {
				return err
			}
		}
		r.progress.line(s.data.Label + ": recovery")
	}
	for _, c := range all {
		if c.proc != nil {
			if err := c.proc.end(ctx); err != nil && ctx.Err() == nil {
				r.note("%s on %s: close at the end: %v", c.Name, s.data.Label, err)
			}
		}
	}
	return ctx.Err()
}

func (c *contestant) skips(s *section, plan cellPlan) bool {
	if c.traits.Name != "" && plan.workload.lacks(c.traits) {
		return true
	}
	return plan.writes && c.traits.Name != "" && !c.classes(c.traits).Has(plan.durability) || s.onDisk && c.traits.Name != "" && !c.traits.Persistent
}

// start opens the engine's store and loads the data.
func (r *runner) start(ctx context.Context, s *section, c *contestant) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	p, unbounded, err := startProcess(c.Engine, s.memory)
	if err != nil {
		return err
	}
	c.proc = p
	limit := &r.result.Run.MemoryLimit
	if limit.Bytes = s.memory; unbounded != nil {
		limit.How = "none: " + unbounded.Error()
	} else if limit.How == "" {
		limit.How = p.Bound()
	}
	r.progress.begin(s.data.Label+": load", c.Name)
	a, err := p.call(ctx, command{Open: &c.open})
	if err != nil {
		return err
	}
	c.traits = *a.Traits
	r.result.Run.Versions[c.Name] = a.Traits.Version
	if s.onDisk && !c.traits.Persistent {
		r.note("%s is not in %s: its data must fit into memory", c.Name, s.data.Label)
		return nil
	}
	a, err = p.call(ctx, command{Load: true})
	if err != nil {
		return err
	}
	if s.load {
		m := r.measurement(s, c, loadWorkload, weakestOf(c.traits.Durability).String(), 1)
		m.Ops, m.OpsPerS, m.CPUNsPerOp = a.Ops, a.Rate, a.CPU
		m.MeanNs = 1e9 / a.Rate
		m.RSSBytes, m.DiskBytes = a.RSS, a.Disk
		m.WriteAmp = amplification(a)
		m.Note = a.Method
		r.add(m)
	}
	r.progress.done(c.Name, a.Rate)
	return nil
}

func amplification(a answer) float64 {
	if a.PutBytes == 0 {
		return 0
	}
	return float64(a.Written) / float64(a.PutBytes)
}

// cell measures one row: in each round every engine once, in an order that
// changes from round to round.
func (r *runner) cell(ctx context.Context, s *section, plan cellPlan, in []*contestant, rng *rand.Rand) error {
	label := fmt.Sprintf("%s: %s", s.data.Label, plan.workload.name)
	if plan.writes {
		label += ", " + plan.durability.String()
	}
	if plan.clients > 1 {
		label += fmt.Sprintf(", %d clients", plan.clients)
	}
	found := map[*contestant]*cellSum{}
	for round := range s.rounds {
		order := rng.Perm(len(in))
		for _, i := range order {
			c := in[i]
			sum := found[c]
			if sum == nil {
				sum = &cellSum{service: newHistogram(), open: newHistogram()}
				found[c] = sum
			}
			if sum.err != nil {
				continue
			}
			r.progress.begin(label, c.Name)
			if c.broken != nil {
				sum.err = c.broken
				continue
			}
			a, err := c.proc.call(ctx, command{Cell: &cellCommand{
				Workload: plan.workload.name, Durability: plan.durability, Clients: plan.clients,
				Seconds: s.loops, Seed: mix(r.seed ^ uint64(round)<<32 ^ hashName(label)),
			}})
			if err == nil {
				err = sum.add(a)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			sum.err = err
		}
	}
	for _, c := range in {
		sum := found[c]
		if sum.err != nil {
			r.fail(s, c, plan.workload.name, plan.class(), plan.clients, sum.err)
			continue
		}
		m := r.measurement(s, c, plan.workload.name, plan.class(), plan.clients)
		sum.fill(&m)
		r.add(m)
		r.progress.done(c.Name, m.OpsPerS)
	}
	r.progress.line(label)
	return nil
}

// cellSum adds up the rounds of a cell.
type cellSum struct {
	ops           int64
	rates, cpus   []float64
	openRates     []float64
	stallNs       int64
	putBytes      int64
	written       uint64
	last          answer
	service, open *hdrhistogram.Histogram
	err           error
}

func (s *cellSum) add(a answer) error {
	s.ops += a.Ops
	s.rates = append(s.rates, a.Rate)
	s.cpus = append(s.cpus, a.CPU)
	s.openRates = append(s.openRates, a.OpenRate)
	s.stallNs += a.StallNs
	s.putBytes += a.PutBytes
	s.written += a.Written
	s.last = a
	for _, x := range []struct {
		to   *hdrhistogram.Histogram
		from []byte
	}{{s.service, a.Service}, {s.open, a.Open}} {
		if x.from == nil {
			continue
		}
		h, err := hdrhistogram.Decode(x.from)
		if err != nil {
			return fmt.Errorf("histogram from the child: %w", err)
		}
		x.to.Merge(h)
	}
	return nil
}

// quantiles are the points of a latency curve: dense towards the tail.
var quantiles = []float64{0, .1, .2, .3, .4, .5, .6, .7, .75, .8, .85, .9, .925, .95, .96, .97, .98, .99, .9925, .995, .9975, .999, .9995, .99975, .9999, .99999, 1}

func (s *cellSum) fill(m *result.Measurement) {
	m.Ops = s.ops
	m.OpsPerS, m.RoundOpsPerS = median(s.rates), s.rates
	m.CPUNsPerOp = median(s.cpus)
	m.OpenRate = median(s.openRates)
	m.MeanNs = s.open.Mean()
	m.P50Ns, m.P99Ns, m.P999Ns = quantileNs(s.open, .5), quantileNs(s.open, .99), quantileNs(s.open, .999)
	if s.service.TotalCount() > 0 {
		m.ServiceP50Ns, m.ServiceP99Ns = quantileNs(s.service, .5), quantileNs(s.service, .99)
	}
	for _, q := range quantiles {
		m.Curve = append(m.Curve, [2]float64{q, quantileNs(s.open, q)})
	}
	m.StallMs = float64(s.stallNs) / 1e6
	m.RSSBytes, m.DiskBytes = s.last.RSS, s.last.Disk
	if s.putBytes > 0 {
		m.WriteAmp = float64(s.written) / float64(s.putBytes)
	}
}

func quantileNs(h *hdrhistogram.Histogram, q float64) float64 {
	return float64(h.ValueAtQuantile(q * 100))
}

const (
	burstPuts    = 200_000
	burstSeconds = 1.0
)

// recovery overwrites records, kills the process, and times opening the store
// again up to the first read; each round anew.
func (r *runner) recovery(ctx context.Context, s *section, c *contestant) error {
	if c.broken != nil || !c.traits.Persistent {
		return nil
	}
	label := s.data.Label + ": recovery"
	var took []float64
	var replayed int64
	err := func() error {
		for round := range s.rounds {
			r.progress.begin(label, c.Name)
			if round > 0 {
				p, _, err := startProcess(c.Engine, s.memory)
				if err != nil {
					return err
				}
				c.proc = p
				if _, err := p.call(ctx, command{Open: &c.open}); err != nil {
					return err
				}
			}
			a, err := c.proc.call(ctx, command{Burst: &burstCommand{Puts: burstPuts, Seconds: burstSeconds, Seed: mix(r.seed + uint64(round))}})
			if err != nil {
				return err
			}
			replayed = a.Ops
			c.proc.Kill()
			p, _, err := startProcess(c.Engine, s.memory)
			if err != nil {
				return err
			}
			c.proc = p
			if a, err = p.call(ctx, command{Recover: &c.open}); err != nil {
				return err
			}
			took = append(took, a.Seconds*1e9)
			p.Kill()
		}
		return nil
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.fail(s, c, recoveryWorkload, "-", 1, err)
		return nil
	}
	m := r.measurement(s, c, recoveryWorkload, "-", 1)
	m.Ops = int64(len(took))
	m.P50Ns = median(took)
	m.MeanNs = m.P50Ns
	m.Note = fmt.Sprintf("after kill -9 behind %d puts", replayed)
	r.add(m)
	r.progress.took(c.Name, m.P50Ns)
	return nil
}

// measurement makes a cell with what is known before it is measured.
func (r *runner) measurement(s *section, c *contestant, workload, class string, clients int) result.Measurement {
	info := r.result.Run.Data[len(r.result.Run.Data)-1]
	m := result.Measurement{
		Engine: c.Name, Workload: workload, Data: s.data.Label, Durability: class, Clients: clients,
		Records: info.Records, KeyBytes: int(info.KeyBytes + .5), ValueBytes: int(info.ValueBytes + .5), CacheBytes: s.cache,
	}
	if l := r.result.Run.LimitsBefore; l != nil {
		m.DeviceFlushNs = l.FlushNs
		size := fmt.Sprint(workingSet(info))
		switch {
		case workload == recoveryWorkload || clients > 1 && class != engine.Flushed.String():
		case class == engine.Flushed.String() && workload != "put" && workload != "overwrite":
			// Some of its operations wait for the device and some do not.
		case class == engine.Flushed.String():
			m.LimitNs, m.LimitIs = l.FlushNs, "one flush of the device"
		case s.onDisk:
			m.LimitNs, m.LimitIs = l.Read1Ns, "one direct read of the device"
		case l.MissNs[size] > 0:
			m.LimitNs, m.LimitIs = l.MissNs[size], "one dependent miss in memory"
		}
	}
	return m
}

// workingSet is the size of memory whose misses a data set is held against.
func workingSet(info result.DataInfo) uint64 {
	return uint64(float64(info.Records) * (info.KeyBytes + info.ValueBytes))
}

func (r *runner) fail(s *section, c *contestant, workload, class string, clients int, err error) {
	m := r.measurement(s, c, workload, class, clients)
	m.Error = err.Error()
	r.add(m)
	r.progress.failed(c.Name, err)
}

func (r *runner) add(m result.Measurement) {
	r.result.Measurements = append(r.result.Measurements, m)
}

func (r *runner) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.result.Run.Notes, text) {
		r.result.Run.Notes = append(r.result.Run.Notes, text)
	}
}

func hashName(s string) (h uint64) {
	for _, b := range []byte(s) {
		h = mix(h ^ uint64(b))
	}
	return h
}

// estimate is about how long the sections will take. Of the engines, about half
// have a given durability class.
func (r *runner) estimate() time.Duration {
	const share = 0.5
	var seconds float64
	for _, s := range r.sections {
		for _, c := range s.cells {
			loops := 2.0
			if c.workload.rate > 0 {
				loops = 1
			}
			if c.writes {
				loops *= share
			}
			seconds += loops * s.loops * float64(s.rounds*len(r.engines))
		}
		seconds += float64(len(r.engines)) * (4 + 3*float64(s.rounds))
	}
	return time.Duration(seconds * float64(time.Second))
}
