package enginebench

import (
	"fmt"
	"strings"
)

// Goal is something that must hold of a figure, or of the ratio of two.
type Goal struct {
	Section string `json:"section"`
	// Text says what is judged, without the bound.
	Text string `json:"text"`
	// Of is the figure that is judged, as a multiple of Over where Over has a name.
	Of   Ref `json:"of"`
	Over Ref `json:"over,omitzero"`
	// Most and Least are the bounds, of which one is set.
	Most  float64 `json:"most,omitempty"`
	Least float64 `json:"least,omitempty"`
	// Unit is that of the bound: × of Over, or the figure's.
	Unit string `json:"unit"`
}

// Ref names a figure by name and engine. Engine "" is the engine that the goals
// are for, BestPeer the peer that has the best figure of that name.
type Ref struct {
	Name   string `json:"name,omitempty"`
	Engine string `json:"engine,omitempty"`
}

// BestPeer is a Ref's Engine.
const BestPeer = "best peer"

// Outcome is a goal and what was measured.
type Outcome struct {
	Goal
	// Measured is the median over the rounds; nil if a figure is missing, which Why
	// then names.
	Measured *float64 `json:"measured"`
	Met      bool     `json:"met"`
	Why      string   `json:"why,omitempty"`
	// Against names the peer that BestPeer stood for, or the build of RocksDB.
	Against string `json:"against,omitempty"`
}

// judge holds the figures against the goals.
func (r *Result) judge(goals []Goal) []Outcome {
	var all []Outcome
	for _, g := range goals {
		all = append(all, r.outcome(g))
	}
	return all
}

func (r *Result) outcome(g Goal) Outcome {
	o := Outcome{Goal: g}
	of := r.resolve(g.Of, g.Most > 0)
	if of == nil {
		o.Why = missing(g.Of, r.Engine)
		return o
	}
	value := of.Median
	if g.Over.Name != "" {
		over := r.resolve(g.Over, g.Most > 0)
		if over == nil {
			o.Why = missing(g.Over, r.Engine)
			return o
		}
		switch {
		case g.Over.Engine == BestPeer:
			o.Against = over.Engine
		case strings.HasPrefix(over.Engine, "rocksdb"):
			o.Against = r.Versions[over.Engine]
		}
		ratio, ok := ratioOf(of, over)
		if !ok {
			o.Why = fmt.Sprintf("%s of %s is 0", over.Name, over.Engine)
			return o
		}
		value = ratio
	}
	o.Measured = &value
	o.Met = g.Most > 0 && value <= g.Most || g.Least > 0 && value >= g.Least
	return o
}

// ratioOf is the median of the rounds' ratios, where both have the same rounds;
// else the ratio of the medians.
func ratioOf(of, over *Figure) (float64, bool) {
	if over.Median == 0 {
		return 0, false
	}
	if len(of.Rounds) != len(over.Rounds) {
		return of.Median / over.Median, true
	}
	var ratios []float64
	for i, v := range of.Rounds {
		if over.Rounds[i] == 0 {
			return of.Median / over.Median, true
		}
		ratios = append(ratios, v/over.Rounds[i])
	}
	return median(ratios), true
}

// resolve finds a figure; less is whether a lower one is better.
func (r *Result) resolve(ref Ref, less bool) *Figure {
	switch ref.Engine {
	case "":
		return r.find(ref.Name, r.Engine)
	case BestPeer:
		var best *Figure
		for _, peer := range r.Peers {
			f := r.find(ref.Name, peer)
			if f != nil && (best == nil || less && f.Median < best.Median || !less && f.Median > best.Median) {
				best = f
			}
		}
		return best
	}
	return r.find(ref.Name, ref.Engine)
}

func missing(ref Ref, subject string) string {
	engine := ref.Engine
	switch engine {
	case "":
		engine = subject
	case BestPeer:
		engine = "any peer"
	}
	return fmt.Sprintf("no figure %q of %s", ref.Name, engine)
}
