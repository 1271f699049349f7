package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
)

// slowMultiGet is a store whose every call takes a time, and which misses a key
// once it is told to.
type slowMultiGet struct {
	engine.Engine
	calls, keys int64
	took        time.Duration
	miss        bool
}

func (s *slowMultiGet) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	for end := time.Now().Add(s.took); time.Now().Before(end); {
	}
	s.calls++
	s.keys += int64(len(keys))
	for i := range keys {
		found(i, nil, !s.miss || i != 7)
	}
	return nil
}

func multiGets(e engine.Engine) *client {
	w, _ := findWorkload("multi-get-16")
	return newClient(newStore(e, newUniform(dataSpec{Kind: "uniform", Records: 1000})), w, engine.Memory, 1, 0, 1)
}

// TestMultiGetCountsEachKey: a call of 16 keys is 16 operations, each with a
// 16th of the call's time, in both loops.
func TestMultiGetCountsEachKey(t *testing.T) {
	e := &slowMultiGet{took: 160 * time.Microsecond}
	closed, err := runClosed(t.Context(), []*client{multiGets(e)}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if closed.ops != 16*e.calls || closed.ops != e.keys || closed.service.TotalCount() != closed.ops {
		t.Errorf("%d operations, %d in the histogram; %d calls of %d keys", closed.ops, closed.service.TotalCount(), e.calls, e.keys)
	}
	if p50 := closed.service.ValueAtQuantile(50); p50 < 10_000 || p50 >= 160_000 {
		t.Errorf("p50 is %d ns a key; a call of 16 takes 160 µs", p50)
	}
	before := e.keys
	open, err := runOpen(t.Context(), []*client{multiGets(e)}, 16_000, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if open.ops != 1600 || e.keys-before != 1600 || open.latency.TotalCount() != 1600 {
		t.Errorf("%d operations, %d in the histogram, %d keys; want 1,600", open.ops, open.latency.TotalCount(), e.keys-before)
	}
	if p50 := open.latency.ValueAtQuantile(50); p50 < 10_000 {
		t.Errorf("p50 is %d ns a key; a call of 16 takes 160 µs", p50)
	}
}

func TestMultiGetThatMissesFails(t *testing.T) {
	_, err := runClosed(t.Context(), []*client{multiGets(&slowMultiGet{miss: true})}, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "1 are not there") {
		t.Errorf("a missed key gives %v", err)
	}
}

// TestMultiGetIsForWhoHasIt: an engine without MultiGet has no cell, not a
// failed one.
func TestMultiGetIsForWhoHasIt(t *testing.T) {
	w, _ := findWorkload("multi-get-16")
	plan := planCells([]string{w.name}, nil, []int{1, 16})
	if len(plan) != 1 || plan[0].clients != 1 || plan[0].writes {
		t.Fatalf("planned: %+v", plan)
	}
	e := memory.Open()
	defer e.Close()
	c := &contestant{traits: e.Traits()}
	if c.skips(&section{}, plan[0]) {
		t.Error("memory, which has MultiGet, is left out")
	}
	c.traits.MultiGet = false
	if !c.skips(&section{}, plan[0]) {
		t.Error("an engine without MultiGet is not left out")
	}
}
