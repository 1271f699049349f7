package enginebench

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
)

// streamRequest overwrites records drawn uniformly, one by one, each after the one
// before.
type streamRequest struct {
	Class  engine.Durability `json:"class"`
	Writes int               `json:"writes"`
	Seed   uint64            `json:"seed"`
}

// parts is how many parts of a stream are told apart.
const parts = 3

// stream answers, for each part p of the stream, with rate_p (/s), p999_p and most_p
// (ns), and debt_p, the bytes that compaction has before it at the part's end; and with
// the counters of written.
func (c *child) stream(r streamRequest) (map[string]float64, error) {
	rng := rand.New(rand.NewPCG(r.Seed, 11))
	values := map[string]float64{}
	var batch engine.Batch
	var packed []byte
	size := bench.UniformKeyBytes + c.valueBytes
	version := 1
	for part := range parts {
		h := newHistogram()
		writes := r.Writes / parts
		var prepared time.Duration
		start := time.Now()
		for last := start; writes > 0; {
			n := min(prepareMost, writes)
			packed = packed[:0]
			for range n {
				i := rng.IntN(c.records)
				packed = c.value(c.data.Key(packed, i), i, version)
				version++
			}
			now := time.Now()
			prepared += now.Sub(last)
			last = now
			for rest := packed; len(rest) > 0; rest = rest[size:] {
				batch.Reset()
				batch.Put(rest[:bench.UniformKeyBytes], rest[bench.UniformKeyBytes:size])
				if err := c.Apply(&batch, r.Class); err != nil {
					return nil, fmt.Errorf("overwrite: %w", err)
				}
				now := time.Now()
				if err := h.RecordValue(max(int64(now.Sub(last)), 1)); err != nil {
					return nil, err
				}
				last = now
			}
			writes -= n
		}
		took := time.Since(start) - prepared
		values[fmt.Sprintf("rate_%d", part+1)] = float64(r.Writes/parts) / took.Seconds()
		values[fmt.Sprintf("p999_%d", part+1)] = float64(h.ValueAtQuantile(99.9))
		values[fmt.Sprintf("most_%d", part+1)] = float64(h.Max())
		values[fmt.Sprintf("debt_%d", part+1)] = float64(c.store.Metrics().CompactionDebtBytes)
	}
	c.written(values)
	return values, nil
}

// written adds what the engine has written since it was opened, the log apart.
func (c *child) written(values map[string]float64) {
	m := c.store.Metrics()
	values["flushed"], values["compacted"], values["debt"] = float64(m.BytesFlushed), float64(m.BytesCompacted), float64(m.CompactionDebtBytes)
}

// settlesWithin bounds the wait for an engine to settle.
const settlesWithin = 20 * time.Minute

// drainRequest waits until the engine has written nothing by itself for Quiet seconds.
type drainRequest struct {
	Quiet float64 `json:"quiet"`
}

// drain answers with the seconds until the engine had settled, and the counters of
// written.
func (c *child) drain(r drainRequest) (map[string]float64, error) {
	start := time.Now()
	quiet := start
	before := map[string]float64{}
	c.written(before)
	for {
		time.Sleep(50 * time.Millisecond)
		now := map[string]float64{}
		c.written(now)
		switch {
		case now["flushed"] != before["flushed"] || now["compacted"] != before["compacted"] || now["debt"] != before["debt"]:
			quiet = time.Now()
		case time.Since(quiet).Seconds() > r.Quiet:
			now["seconds"] = quiet.Sub(start).Seconds()
			return now, nil
		case time.Since(start) > settlesWithin:
			return nil, fmt.Errorf("not settled within %v", settlesWithin)
		}
		before = now
	}
}

// besideRequest reads records, drawn uniformly, one after the other, while others are
// overwritten at a rate, in writes a second.
type besideRequest struct {
	Class   engine.Durability `json:"class"`
	Rate    float64           `json:"rate"`
	Seconds float64           `json:"seconds"`
	Seed    uint64            `json:"seed"`
}

// beside answers with gets_per_s, p50_ns and p999_ns of the gets, and writes_per_s.
func (c *child) beside(r besideRequest) (map[string]float64, error) {
	start := time.Now()
	until := start.Add(time.Duration(r.Seconds * float64(time.Second)))
	writes := 0
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(r.Seed, 12))
		var b engine.Batch
		var key, value []byte
		for now := start; now.Before(until); now = time.Now() {
			// What is due since the last look, in a burst: a sleep is coarser than a write.
			for due := int(now.Sub(start).Seconds()*r.Rate) - writes; due > 0; due-- {
				i := rng.IntN(c.records)
				key, value = c.data.Key(key[:0], i), c.value(value[:0], i, writes+1)
				b.Reset()
				b.Put(key, value)
				if failed = c.Apply(&b, r.Class); failed != nil {
					return
				}
				writes++
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	rng := rand.New(rand.NewPCG(r.Seed, 13))
	h := newHistogram()
	gets := 0
	keys := make([]byte, 0, prepareMost*bench.UniformKeyBytes)
	dst := make([]byte, 0, 8192)
	var err error
	for last := time.Now(); err == nil && last.Before(until); {
		keys = keys[:0]
		for range prepareMost {
			keys = c.data.Key(keys, rng.IntN(c.records))
		}
		last = time.Now()
		for rest := keys; len(rest) > 0; rest = rest[bench.UniformKeyBytes:] {
			if _, err = c.store.Get(rest[:bench.UniformKeyBytes], dst[:0]); err != nil {
				break
			}
			now := time.Now()
			if err = h.RecordValue(max(int64(now.Sub(last)), 1)); err != nil {
				break
			}
			last = now
			gets++
		}
	}
	wg.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("read while writing: %w", err)
	}
	took := time.Since(start).Seconds()
	return map[string]float64{
		"gets_per_s": float64(gets) / took, "p50_ns": median50(h), "p999_ns": float64(h.ValueAtQuantile(99.9)), "writes_per_s": float64(writes) / took,
	}, nil
}

// queueRequest puts Length entries into a queue, and then so many more at its end, each
// with the removal of the oldest; every so often the first entries are looked at, past
// all that were removed.
type queueRequest struct {
	Class  engine.Durability `json:"class"`
	Length int               `json:"length"`
	Turns  int               `json:"turns"`
}

const (
	// lookEvery is after how many turns the queue is looked at, lookAt at how many
	// entries.
	lookEvery, lookAt = 64, 10
	queuePrefix       = "queue/"
)

// queue answers with turns_per_s, and p50_ns, p99_ns and most_ns of the looks.
func (c *child) queue(r queueRequest) (map[string]float64, error) {
	var b engine.Batch
	var key, value []byte
	name := func(n int) []byte {
		key = fmt.Appendf(key[:0], queuePrefix+"%010d", n)
		return key
	}
	for n := range r.Length {
		b.Put(name(n), c.value(value[:0], n%c.records, 0))
		if b.Count() == sortedBatch || n == r.Length-1 {
			if err := c.Apply(&b, r.Class); err != nil {
				return nil, err
			}
			b.Reset()
		}
	}
	h := newHistogram()
	var looked time.Duration
	start := time.Now()
	for n := range r.Turns {
		b.Reset()
		value = c.value(value[:0], n%c.records, 1)
		b.Put(name(r.Length+n), value)
		b.Delete(name(n))
		if err := c.Apply(&b, r.Class); err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		if (n+1)%lookEvery != 0 {
			continue
		}
		began := time.Now()
		if err := c.look(name(n + 1)); err != nil {
			return nil, err
		}
		took := time.Since(began)
		looked += took
		if err := h.RecordValue(max(int64(took), 1)); err != nil {
			return nil, err
		}
	}
	return map[string]float64{
		"turns_per_s": float64(r.Turns) / (time.Since(start) - looked).Seconds(),
		"p50_ns":      median50(h), "p99_ns": float64(h.ValueAtQuantile(99)), "most_ns": float64(h.Max()),
	}, nil
}

// look reads the first entries of the queue, the first of which must be the given one.
func (c *child) look(first []byte) error {
	it, err := c.store.NewIterator(engine.IterOptions{Lower: []byte(queuePrefix), Upper: []byte("queue0")})
	if err != nil {
		return err
	}
	ok := it.First()
	if ok && string(it.Key()) != string(first) {
		err = fmt.Errorf("the queue begins with %q, not %q", it.Key(), first)
	}
	for n := 1; ok && err == nil && n < lookAt; n++ {
		if _, err = it.Value(); err == nil {
			ok = it.Next()
		}
	}
	if err == nil {
		err = it.Err()
	}
	if err == nil && !ok {
		err = fmt.Errorf("the queue has fewer than %d entries", lookAt)
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return err
}
