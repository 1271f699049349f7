package enginebench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
)

// putRequest puts fresh keys one by one, each client after its put before, for
// Seconds, or Puts of them by one client.
type putRequest struct {
	Class   engine.Durability `json:"class"`
	Clients int               `json:"clients"`
	Seconds float64           `json:"seconds,omitempty"`
	Puts    int               `json:"puts,omitempty"`
	// Fresh is the number of the first fresh key; the answer has the next.
	Fresh int `json:"fresh"`
}

// put answers with puts, per_second, p50_ns, allocs per put, and fresh.
func (c *child) put(r putRequest) (map[string]float64, error) {
	most := r.Puts
	clients := make([]*putter, r.Clients)
	var wg sync.WaitGroup
	m := mallocs()
	start := time.Now()
	until := start.Add(time.Duration(r.Seconds * float64(time.Second)))
	if r.Puts > 0 {
		until = start.Add(24 * time.Hour)
	}
	for i := range clients {
		clients[i] = &putter{child: c, class: r.Class, fresh: r.Fresh + i, stride: r.Clients}
		wg.Go(func() { clients[i].run(until, most) })
	}
	wg.Wait()
	wall := time.Since(start)
	allocs := mallocs() - m
	var errs []error
	h := newHistogram()
	puts, next := 0, r.Fresh
	for _, p := range clients {
		errs = append(errs, p.err)
		puts += p.puts
		next = max(next, p.fresh)
		for _, ns := range p.took {
			errs = append(errs, h.RecordValue(min(max(int64(ns), 1), h.HighestTrackableValue())))
		}
	}
	if puts == 0 {
		errs = append(errs, fmt.Errorf("no put in %v s", r.Seconds))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	if len(clients) == 1 {
		wall -= clients[0].prepared // of many it cannot be told whose time it was
	}
	return map[string]float64{
		"puts": float64(puts), "per_second": float64(puts) / wall.Seconds(), "p50_ns": median50(h),
		"allocs": float64(allocs) / float64(puts), "fresh": float64(next),
	}, nil
}

// putter is one client.
type putter struct {
	*child
	class         engine.Durability
	fresh, stride int
	puts          int
	took          []uint32 // ns of each put, those above 4 s as 4 s
	prepared      time.Duration
	batch         engine.Batch
	err           error
}

// prepareMost is how many puts are prepared at a time.
const prepareMost = 256

func (p *putter) run(until time.Time, most int) {
	var packed []byte
	for last := time.Now(); last.Before(until) && (most == 0 || p.puts < most); {
		n := prepareMost
		if p.class == engine.Flushed {
			n = 16 // a put takes long enough to look at the time
		}
		if most > 0 {
			n = min(n, most-p.puts)
		}
		packed = packed[:0]
		for i := range n {
			number := p.fresh + i*p.stride
			packed = p.data.Fresh(packed, number)
			packed = p.data.Value(packed, number%p.records, 1)
		}
		now := time.Now()
		p.prepared += now.Sub(last)
		last = now
		for rest := packed; len(rest) > 0; rest = rest[bench.UniformRecordBytes:] {
			p.batch.Reset()
			p.batch.Put(rest[:bench.UniformKeyBytes], rest[bench.UniformKeyBytes:bench.UniformRecordBytes])
			if p.err = p.Apply(&p.batch, p.class); p.err != nil {
				return
			}
			now := time.Now()
			p.took = append(p.took, uint32(min(now.Sub(last), 4*time.Second)))
			last = now
			p.puts++
			p.fresh += p.stride
		}
	}
}

// Apply commits to the store that is open.
func (c *child) Apply(b *engine.Batch, d engine.Durability) error {
	return c.store.Apply(c.ctx, b, d)
}

// snapshotRequest opens and closes so many snapshots, with a put of the class
// before each.
type snapshotRequest struct {
	Snapshots int               `json:"snapshots"`
	Class     engine.Durability `json:"class"`
	// Named makes named ones instead, and then as many flushed puts.
	Named bool   `json:"named,omitempty"`
	Seed  uint64 `json:"seed"`
}

// snapshot answers with p50_ns of a snapshot, and if Named with flushed_ns.
func (c *child) snapshot(r snapshotRequest) (map[string]float64, error) {
	rng := rand.New(rand.NewPCG(r.Seed, 3))
	var b engine.Batch
	write := func(n int, d engine.Durability) error {
		i := rng.IntN(c.records)
		b.Reset()
		b.Put(c.data.Key(nil, i), c.data.Value(nil, i, n))
		return c.Apply(&b, d)
	}
	names, named := c.store.(engine.NamedSnapshots)
	if r.Named && !named {
		return nil, fmt.Errorf("named snapshots: %w", engine.ErrUnsupported)
	}
	h, flushed := newHistogram(), newHistogram()
	for n := range r.Snapshots {
		if err := write(n, r.Class); err != nil {
			return nil, err
		}
		start := time.Now()
		if r.Named {
			name := fmt.Sprintf("bench-%d", n)
			if err := names.CreateSnapshot(c.ctx, name); err != nil {
				return nil, err
			}
			if err := h.RecordValue(int64(time.Since(start))); err != nil {
				return nil, err
			}
			start = time.Now()
			if err := write(n, engine.Flushed); err != nil {
				return nil, err
			}
			if err := flushed.RecordValue(int64(time.Since(start))); err != nil {
				return nil, err
			}
			if err := names.DropSnapshot(c.ctx, name); err != nil {
				return nil, err
			}
			continue
		}
		snap, err := c.store.Snapshot()
		if err != nil {
			return nil, err
		}
		if err := snap.Close(); err != nil {
			return nil, err
		}
		if err := h.RecordValue(int64(time.Since(start))); err != nil {
			return nil, err
		}
	}
	values := map[string]float64{"p50_ns": median50(h)}
	if r.Named {
		values["flushed_ns"] = median50(flushed)
	}
	return values, nil
}
