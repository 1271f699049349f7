package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
)

// stalling is a store whose every n-th get takes a long time.
type stalling struct {
	engine.Engine
	calls atomic.Int64
	every int64
	stall time.Duration
}

func (s *stalling) Get(key, dst []byte) ([]byte, error) {
	if s.calls.Add(1)%s.every == 0 {
		time.Sleep(s.stall)
	}
	return dst, nil
}

func gets(e engine.Engine, clients int) []*client {
	s := newStore(e, newUniform(dataSpec{Kind: "uniform", Records: 1000}))
	var all []*client
	for i := range clients {
		all = append(all, newClient(s, workload{mix: []share{{opGet, 100}}}, engine.Memory, 1, i, clients))
	}
	return all
}

// TestOpenLoopSeesWhomAStallHeldUp: one call in 1,000 stalls for 100 ms at
// 10,000 calls a second, so that each stall holds up all calls of its 100 ms.
// Measured from the intended start their mean wait is half the stall; measured
// call by call, a thousandth of calls would show it.
func TestOpenLoopSeesWhomAStallHeldUp(t *testing.T) {
	for _, clients := range []int{1, 2} {
		e := &stalling{every: 1000, stall: 100 * time.Millisecond}
		if clients > 1 {
			e.every = 500 // both clients stall at once, or one would go on alone
		}
		r, err := runOpen(t.Context(), gets(e, clients), 10_000, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if r.ops != 10_000 {
			t.Errorf("%d clients: %d operations, want 10,000", clients, r.ops)
		}
		if clients == 1 {
			if p50 := r.latency.ValueAtQuantile(50); p50 < int64(20*time.Millisecond) {
				t.Errorf("p50 is %v although the store stood still half of the time", time.Duration(p50))
			}
		}
		if most := r.latency.Max(); most < int64(90*time.Millisecond) {
			t.Errorf("%d clients: the longest wait is %v", clients, time.Duration(most))
		}
	}
}

func TestClosedLoopCounts(t *testing.T) {
	for _, clients := range []int{1, 3, 16} {
		e := &stalling{every: 100, stall: 12 * time.Millisecond}
		r, err := runClosed(t.Context(), gets(e, clients), 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if r.ops != e.calls.Load() || r.ops != r.service.TotalCount() {
			t.Errorf("%d clients: %d operations counted, %d in the histogram, %d carried out", clients, r.ops, r.service.TotalCount(), e.calls.Load())
		}
		if stalls := e.calls.Load() / 100; r.stallNs < stalls*int64(12*time.Millisecond) {
			t.Errorf("%d clients: %v in stalls, at least %v were made", clients, time.Duration(r.stallNs), time.Duration(stalls)*12*time.Millisecond)
		}
	}
}

func TestLoopsEndWithTheContextAndWithAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, clients := range []int{1, 4} {
		if _, err := runClosed(ctx, gets(nothing{}, clients), time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("closed loop, %d clients, cancelled: %v", clients, err)
		}
		if _, err := runOpen(ctx, gets(nothing{}, clients), 10, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("open loop, %d clients, cancelled: %v", clients, err)
		}
		empty := memory.Open() // each get fails: nothing is there
		if _, err := runClosed(t.Context(), gets(empty, clients), time.Hour); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("closed loop, %d clients, on a store that fails: %v", clients, err)
		}
		if _, err := runOpen(t.Context(), gets(empty, clients), 1000, time.Second); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("open loop, %d clients, on a store that fails: %v", clients, err)
		}
		if err := empty.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryWorkloadRuns carries out every workload on every data set, with a
// store in which a wrong key would be an error.
func TestEveryWorkloadRuns(t *testing.T) {
	for kind, d := range allDatasets(t, 3000) {
		for _, clients := range []int{1, 3} {
			s := newStore(memory.Open(), d)
			c := &child{ctx: t.Context(), store: s, data: d, dir: t.TempDir()}
			if _, err := c.load(); err != nil {
				t.Fatal(err)
			}
			for _, w := range workloads {
				if w.rate > 0 {
					w.rate = 2000
				}
				a, err := c.cell(cellCommand{Workload: w.name, Durability: engine.Memory, Clients: clients, Seconds: 0.02, Seed: 1})
				if err != nil {
					t.Fatalf("%s on %s, %d clients: %v", w.name, kind, clients, err)
				}
				if a.Ops == 0 || a.OpenRate == 0 || len(a.Open) == 0 {
					t.Errorf("%s on %s, %d clients: %+v", w.name, kind, clients, a)
				}
				if always := len(w.mix) == 1; a.PutBytes > 0 && !w.writes() || a.PutBytes == 0 && w.writes() && always {
					t.Errorf("%s on %s: %d bytes put", w.name, kind, a.PutBytes)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
