package enginetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/orbit-persistence/orbit/engine"
)

var randomCases = []Case{
	{"random/against-a-map", randomRun},
}

// randomRun does the target's number of random operations on the engine and on
// the model, and compares what they show.
func randomRun(s *session) {
	m := newModel()
	rng := s.random(41)
	type pinned struct {
		engine.Snapshot
		state *model
		born  int
	}
	var snaps []pinned
	drop := func(i, at int) {
		s.shows(snaps[i], snaps[i].state, fmt.Sprintf("operation %d: snapshot of operation %d", at, snaps[i].born))
		s.ok(snaps[i].Close(), "close snapshot")
		snaps = append(snaps[:i], snaps[i+1:]...)
	}
	reopenEvery := s.target.Operations/8 + 1
	for at := 0; at < s.target.Operations; at++ {
		switch p := rng.IntN(1000); {
		case p < 450: // one change, in any class
			b := batch(func(b *engine.Batch) { randomOp(rng, b) })
			s.applyBoth(m, b, rng)
		case p < 550: // a batch of changes
			b := batch(func(b *engine.Batch) {
				for range 1 + rng.IntN(12) {
					randomOp(rng, b)
				}
			})
			at += b.Count() - 1
			s.applyBoth(m, b, rng)
		case p < 850:
			key := randomKey(rng)
			if value, there := m.entries[key]; there {
				s.has(s, key, value)
			} else {
				s.lacks(s, key)
			}
		case p < 970:
			s.randomScan(s, m, rng)
		case p < 980 && len(snaps) < 4:
			snaps = append(snaps, pinned{s.snapshot(), m.clone(), at})
		case p < 990 && len(snaps) > 0:
			i := rng.IntN(len(snaps))
			s.randomScan(snaps[i], snaps[i].state, rng)
		case p < 992 && len(snaps) > 0:
			drop(rng.IntN(len(snaps)), at)
		case p == 999 && s.traits.Compact && rng.IntN(20) == 0:
			lower, upper := randomKey(rng), randomKey(rng)
			s.ok(s.Compact(s.ctx, []byte(lower), []byte(upper)), "operation %d: compact", at)
		}
		if at%reopenEvery == reopenEvery-1 {
			for len(snaps) > 0 {
				drop(0, at)
			}
			s.shows(s, m, fmt.Sprintf("operation %d", at))
			if s.traits.Persistent {
				s.reopen()
				s.shows(s, m, fmt.Sprintf("operation %d, reopened", at))
			}
		}
	}
	for len(snaps) > 0 {
		drop(0, s.target.Operations)
	}
	s.shows(s, m, "at the end")
}

// applyBoth applies b to the engine and the model, mostly in the weakest class.
func (s *session) applyBoth(m *model, b *engine.Batch, rng *rand.Rand) {
	d := s.weak
	if rng.IntN(500) == 0 {
		d = s.strong
	}
	s.ok(s.Apply(s.ctx, b, d), "apply %d operations, %s", b.Count(), d)
	m.apply(b)
}

// randomScan walks a random stretch in a random direction under random bounds.
func (s *session) randomScan(r engine.Reader, m *model, rng *rand.Rand) {
	var o engine.IterOptions
	if rng.IntN(2) == 0 {
		o.Lower = []byte(randomKey(rng))
	}
	if rng.IntN(2) == 0 {
		o.Upper = []byte(randomKey(rng))
	}
	from, to := m.span(o.Lower, o.Upper)
	it := s.iterator(r, o)
	probe := []byte(randomKey(rng))
	pos, _ := m.span(probe, nil)
	var at int
	var found bool
	var what string
	switch rng.IntN(4) {
	case 0:
		what, at, found = "First", from, it.First()
	case 1:
		what, at, found = "Last", to-1, it.Last()
	case 2:
		what, at, found = "SeekGE", max(pos, from), it.SeekGE(probe)
	case 3:
		what, at, found = "SeekLT", min(pos, to)-1, it.SeekLT(probe)
	}
	forward := rng.IntN(2) == 0
	for step := 0; ; step++ {
		if inside := at >= from && at < to; found != inside {
			s.failf("scan within [%q, %q) from %s(%q), step %d, forward %v: found is %v, want %v (%v)", o.Lower, o.Upper, what, probe, step, forward, found, inside, it.Err())
		}
		if !found || step > 20 {
			break
		}
		if !bytes.Equal(it.Key(), []byte(m.keys[at])) {
			s.failf("scan within [%q, %q) from %s(%q), step %d, forward %v: want key %q, got %q", o.Lower, o.Upper, what, probe, step, forward, m.keys[at], it.Key())
		}
		s.stands(it, m.keys[at], m.entries[m.keys[at]], "scan")
		if rng.IntN(8) == 0 {
			forward = !forward
		}
		if forward {
			at++
			found = it.Next()
		} else {
			at--
			found = it.Prev()
		}
	}
	s.ok(it.Close(), "close iterator")
}

// randomKey draws from about 3,000 keys: some short, some binary, some with a
// long common prefix, so that neighbours, prefixes and overwrites are common.
func randomKey(rng *rand.Rand) string {
	n := rng.IntN(1000)
	switch rng.IntN(3) {
	case 0:
		return fmt.Sprintf("%d", n)
	case 1:
		return string([]byte{byte(n % 4 * 85), byte(n), byte(n >> 8), 0, 0xff}[:1+n%5])
	default:
		return fmt.Sprintf("orbit/lease/prefix-that-many-keys-share/%03d", n)
	}
}

func randomOp(rng *rand.Rand, b *engine.Batch) {
	switch p := rng.IntN(100); {
	case p < 70:
		size := rng.IntN(120)
		switch rng.IntN(60) {
		case 0:
			size = 0
		case 1:
			size = 4000 + rng.IntN(200)
		case 2:
			size = rng.IntN(40_000)
		}
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		b.Put([]byte(randomKey(rng)), value)
	case p < 96:
		b.Delete([]byte(randomKey(rng)))
	default:
		lower, upper := randomKey(rng), randomKey(rng)
		if rng.IntN(3) > 0 { // mostly short
			upper = lower + string([]byte{byte(rng.Uint32())})
		}
		b.DeleteRange([]byte(lower), []byte(upper))
	}
}
