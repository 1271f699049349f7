package enginebench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
)

// getRequest gets so many records, drawn uniformly; the same keys for the same
// seed.
type getRequest struct {
	Gets int    `json:"gets"`
	Seed uint64 `json:"seed"`
	// InC runs the loop in C, for LMDB; Each reads the clock around each get,
	// which costs about 30 ns, for the median. Else the mean is told.
	InC  bool `json:"in_c,omitempty"`
	Each bool `json:"each,omitempty"`
}

// newHistogram tells latencies in ns up to ten minutes apart to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Minute), 3)
}

func median50(h *hdrhistogram.Histogram) float64 { return float64(h.ValueAtQuantile(50)) }

// get answers with ns (mean, or median if Each), allocs per get, and where the
// engine counts them, leaf_reads and page_reads per get.
func (c *child) get(r getRequest) (map[string]float64, error) {
	const size = bench.UniformKeyBytes
	rng := rand.New(rand.NewPCG(r.Seed, 2))
	keys := make([]byte, 0, r.Gets*size)
	for range r.Gets {
		keys = c.data.Key(keys, rng.IntN(c.records))
	}
	dst := make([]byte, 0, 4096)
	if r.InC {
		took, n, err := lmdb.BenchGets(c.store, keys, size, dst)
		if err == nil && n != r.Gets*(bench.UniformRecordBytes-size) {
			err = fmt.Errorf("%d gets in C found %d bytes", r.Gets, n)
		}
		return map[string]float64{"ns": float64(took) / float64(r.Gets)}, err
	}
	h := newHistogram()
	before, m := readCounters(c.store), mallocs()
	start := time.Now()
	last := start
	for at := 0; at < len(keys); at += size {
		key := keys[at : at+size]
		got, err := c.store.Get(key, dst[:0])
		if err != nil || len(got) != bench.UniformRecordBytes-size {
			return nil, fmt.Errorf("get %s: %d bytes (%w)", engine.QuoteKey(key), len(got), err)
		}
		if r.Each {
			now := time.Now()
			if err := h.RecordValue(int64(now.Sub(last))); err != nil {
				return nil, err
			}
			last = now
		}
	}
	took := time.Since(start)
	gets := float64(r.Gets)
	values := map[string]float64{"ns": float64(took) / gets, "allocs": float64(mallocs()-m) / gets}
	if r.Each {
		values["ns"] = median50(h)
	}
	if after := readCounters(c.store); after.known {
		values["page_reads"] = (after.pages - before.pages) / gets
		values["leaf_reads"] = (after.pages - after.inner - before.pages + before.inner) / gets
	}
	return values, nil
}

// counters are pages read from the data file, inner ones among them: the names
// are cowbtree's.
type counters struct {
	pages, inner float64
	known        bool
}

func readCounters(e engine.Engine) counters {
	other := e.Metrics().Other
	pages, known := other["page_reads"]
	return counters{pages, other["inner_page_reads"], known}
}

// mallocs is how many objects this process has allocated, all goroutines.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
