package enginebench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// loadRequest puts all records: in key order by the engine's bulk way, or in
// random order in batches.
type loadRequest struct {
	// Random order, in batches of so many; 0 is key order.
	Random int               `json:"random,omitempty"`
	Class  engine.Durability `json:"class"`
	Seed   uint64            `json:"seed"`
}

// sortedBatch is the size of batches in key order, for engines without Ingest.
const sortedBatch = 10_000

// load answers with the seconds that it took. All records are flushed then.
func (c *child) load(r loadRequest) (map[string]float64, error) {
	start := time.Now()
	var err error
	x, ingests := c.store.(engine.Ingester)
	switch {
	case r.Random > 0:
		order := rand.New(rand.NewPCG(r.Seed, 1)).Perm(c.records)
		err = c.batches(r.Random, r.Class, func(i int) int { return order[i] })
	case ingests:
		err = x.Ingest(c.ctx, c.entries)
	default:
		err = c.batches(sortedBatch, r.Class, func(i int) int { return i })
	}
	if err == nil && c.store.Traits().Persistent {
		err = c.store.Sync(c.ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	took := time.Since(start).Seconds()
	// No figure is of a store that lost its records.
	found, err := c.count()
	if err == nil && found["records"] != float64(c.records) {
		err = fmt.Errorf("after the load a scan finds %.0f of %d records", found["records"], c.records)
	}
	return map[string]float64{"seconds": took}, err
}

// entries yields all records in key order.
func (c *child) entries(yield func(key, value []byte) bool) {
	var p []byte
	for i := range c.records {
		p = c.data.Key(p[:0], i)
		n := len(p)
		p = c.value(p, i, 0)
		if !yield(p[:n:n], p[n:]) {
			return
		}
	}
}

// batches puts all records, the n-th of which is record at(n).
func (c *child) batches(size int, d engine.Durability, at func(n int) int) error {
	var b engine.Batch
	var key, value []byte
	for n := range c.records {
		i := at(n)
		key, value = c.data.Key(key[:0], i), c.value(value[:0], i, 0)
		b.Put(key, value)
		if b.Count() == size || n == c.records-1 {
			if err := c.store.Apply(c.ctx, &b, d); err != nil {
				return err
			}
			b.Reset()
		}
	}
	return nil
}

// count scans everything, which warms caches too, and counts the records.
func (c *child) count() (map[string]float64, error) {
	it, err := c.store.NewIterator(engine.IterOptions{})
	if err != nil {
		return nil, err
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if _, err := it.Value(); err != nil {
			return nil, errors.Join(err, it.Close())
		}
		n++
	}
	return map[string]float64{"records": float64(n)}, it.Close()
}

// overwriteRequest overwrites all records once, in random order.
type overwriteRequest struct {
	Version int               `json:"version"`
	Batch   int               `json:"batch"`
	Class   engine.Durability `json:"class"`
	Seed    uint64            `json:"seed"`
}

func (c *child) overwrite(r overwriteRequest) (map[string]float64, error) {
	order := rand.New(rand.NewPCG(r.Seed, uint64(r.Version))).Perm(c.records)
	var b engine.Batch
	var key, value []byte
	for n, i := range order {
		key, value = c.data.Key(key[:0], i), c.data.Value(value[:0], i, r.Version)
		b.Put(key, value)
		if b.Count() == r.Batch || n == len(order)-1 {
			if err := c.store.Apply(c.ctx, &b, r.Class); err != nil {
				return nil, fmt.Errorf("overwrite: %w", err)
			}
			b.Reset()
		}
	}
	return nil, nil
}
