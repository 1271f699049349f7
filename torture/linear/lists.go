package linear

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/engine"
)

// The sizes of a history of transactions: few keys, so that many conflict.
const (
	listClients = 4
	listTxns    = 60 // of each client
	listKeys    = 4
)

// lists runs transactions that read lists and append to them, each at a snapshot
// and committed by ApplyIf, on an engine that has it. failed is what the engine
// did wrong.
func (m *mode) lists(ctx context.Context, seed uint64) (failed, err error) {
	dir, err := os.MkdirTemp(m.run.Directory, "lists-")
	if err != nil {
		return nil, fmt.Errorf("linear: %w", err)
	}
	defer os.RemoveAll(dir)
	e, failed := m.run.Engine.Open(dir)
	if failed != nil {
		return fmt.Errorf("open: %w", failed), nil
	}
	defer func() { failed = errors.Join(failed, e.Close()) }()
	if !e.Traits().Conditional {
		return nil, nil
	}
	x, ok := e.(engine.Conditional)
	if !ok {
		return errors.New("the engine's traits promise conditional commits, and it has none"), nil
	}
	writers := make([]*listWriter, listClients)
	errs := make([]error, listClients)
	c := newClock()
	var all sync.WaitGroup
	for i := range writers {
		writers[i] = &listWriter{id: i, rng: rand.New(rand.NewPCG(seed, uint64(100+i))), clock: c, durability: weakest(e.Traits())}
		all.Go(func() {
			for n := 0; n < listTxns && errs[i] == nil; n++ {
				errs[i] = writers[i].transact(ctx, e, x)
			}
		})
	}
	all.Wait()
	if failed := errors.Join(errs...); failed != nil {
		return failed, ctx.Err()
	}
	var history []check.Transaction
	for _, w := range writers {
		history = append(history, w.history...)
	}
	m.result.Add("histories", 1)
	m.result.Add("transactions", int64(len(history)))
	for _, a := range check.Cycles(history, true) {
		failed = errors.Join(failed, a)
	}
	return failed, nil
}

type listWriter struct {
	id         int
	rng        *rand.Rand
	clock      *clock
	durability engine.Durability
	last       int64 // value
	history    []check.Transaction
}

// transact runs one transaction; a conflict is an abort.
func (w *listWriter) transact(ctx context.Context, e engine.Engine, x engine.Conditional) (err error) {
	t := check.Transaction{Client: w.id, Call: w.clock.now()}
	snap, err := e.Snapshot()
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	var b engine.Batch
	var set engine.ReadSet
	lists := map[string][]byte{}
	for range 1 + w.rng.IntN(4) {
		key := fmt.Sprintf("list/%d", w.rng.IntN(listKeys))
		list, read := lists[key]
		if !read {
			list, err = snap.Get([]byte(key), nil)
			if err != nil && !errors.Is(err, engine.ErrNotFound) {
				return fmt.Errorf("snapshot: get %s: %w", key, err)
			}
			set.Keys = append(set.Keys, []byte(key))
		}
		if w.rng.IntN(2) == 0 {
			w.last++
			value := int64(w.id)*1_000_000 + w.last
			list = binary.BigEndian.AppendUint64(list, uint64(value))
			b.Put([]byte(key), list)
			t.Steps = append(t.Steps, check.Step{Key: key, Append: true, Value: value})
		} else {
			values, err := decodeList(list)
			if err != nil {
				return fmt.Errorf("snapshot: get %s: %w", key, err)
			}
			t.Steps = append(t.Steps, check.Step{Key: key, List: values})
		}
		lists[key] = list
		if w.rng.IntN(3) == 0 {
			runtime.Gosched()
		}
	}
	err = x.ApplyIf(ctx, snap, set, &b, w.durability)
	t.Return = w.clock.now()
	forget(set, &b)
	if errors.Is(err, engine.ErrConflict) {
		t.Outcome = check.Aborted
	} else if err != nil {
		return fmt.Errorf("apply-if: %w", err)
	}
	w.history = append(w.history, t)
	return nil
}

func decodeList(list []byte) ([]int64, error) {
	if len(list)%8 != 0 {
		return nil, fmt.Errorf("a list of %d bytes, which nobody wrote", len(list))
	}
	values := make([]int64, 0, len(list)/8)
	for ; len(list) > 0; list = list[8:] {
		values = append(values, int64(binary.BigEndian.Uint64(list)))
	}
	return values, nil
}
