package real

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// What the mode paths-real does to a store is done under this load: several writers,
// each with keys of its own, and readers that hold what they see against what can be
// true then. The ledger lies in memory: here it is paths that fail, not the process.

const (
	loadWriters = 3
	loadReaders = 2
	// loadKeys is how many keys a writer has.
	loadKeys = 150
	// mostLoadValue is the largest value: some of them span blocks.
	mostLoadValue = 6000
)

// change is what a writer does at one position: a put, or a delete.
type change struct {
	key        int
	delete     bool
	durability engine.Durability
}

// loadWriter is what one writer has done.
type loadWriter struct {
	// begun and acked count changes; flushed the last that was acknowledged as Flushed,
	// and with it all before.
	begun, acked, flushed atomic.Uint64

	mu sync.Mutex
	// changes are all that were begun; of is those of each key, by position from 1. Both
	// guarded by mu.
	changes []change
	of      [loadKeys][]uint64
}

// load is the writers and readers of one store, and what they know of it.
type load struct {
	seed    uint64
	writers [loadWriters]loadWriter

	stop    chan struct{}
	running sync.WaitGroup
	// progress has room for one that tells that something was done, or has failed.
	progress chan struct{}
	reads    atomic.Uint64
	// mayFail: operations may fail from now on, and end whoever meets it.
	mayFail atomic.Bool

	mu     sync.Mutex
	failed error // the first of them; guarded by mu
}

// newLoad returns a load that has not begun.
func newLoad(seed uint64) *load {
	l := &load{seed: seed, stop: make(chan struct{}), progress: make(chan struct{}, 1)}
	close(l.stop)
	return l
}

func loadKey(w, k int) []byte { return fmt.Appendf(nil, "load%d/%04d", w, k) }

// value returns what a writer puts at a position.
func (l *load) value(w int, at uint64) []byte {
	r := rand.New(rand.NewPCG(l.seed^uint64(w)<<32, at))
	v := make([]byte, 16+r.IntN(mostLoadValue))
	for i := 16; i+8 <= len(v); i += 8 {
		binary.LittleEndian.PutUint64(v[i:], r.Uint64())
	}
	binary.LittleEndian.PutUint64(v, uint64(w))
	binary.LittleEndian.PutUint64(v[8:], at)
	return v
}

// plan returns what a writer does at a position.
func (l *load) plan(w int, at uint64) change {
	r := rand.New(rand.NewPCG(l.seed^0x517cc1b727220a95^uint64(w)<<32, at))
	c := change{key: r.IntN(loadKeys), delete: r.IntN(8) == 0, durability: engine.Flushed}
	if r.IntN(6) == 0 {
		c.durability = engine.Buffered
	}
	return c
}

// start begins the load on a store. halt ends it.
func (l *load) start(e engine.Engine) {
	l.stop = make(chan struct{})
	l.mayFail.Store(false)
	for w := range l.writers {
		l.running.Go(func() { l.until(func() error { return l.write(e, w) }) })
	}
	for i := range loadReaders {
		r := rand.New(rand.NewPCG(l.seed, uint64(i)))
		l.running.Go(func() { l.until(func() error { return l.read(e, r) }) })
	}
}

// halt ends the load, and returns what went wrong.
func (l *load) halt() error {
	close(l.stop)
	l.running.Wait()
	return l.err()
}

func (l *load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// until does something again and again until the load ends, or it fails.
func (l *load) until(do func() error) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		err := workload.Guard(do)
		if err == nil {
			l.tell()
			continue
		}
		if workload.FaultOf(err) == "" {
			if l.mayFail.Load() {
				return
			}
			err = &workload.Violation{Fault: workload.Failed, Text: "an operation, although a path is left", Err: err}
		}
		l.mu.Lock()

		l.failed = errors.Join(l.failed, err)
		l.mu.Unlock()
		l.tell()
		return
	}
}

func (l *load) tell() {
	select {
	case l.progress <- struct{}{}:
	default:
	}
}

// write does the next change of a writer.
func (l *load) write(e engine.Engine, w int) error {
	mine := &l.writers[w]
	at := mine.begun.Load() + 1
	c := l.plan(w, at)
	mine.mu.Lock()
	mine.changes = append(mine.changes, c)
	mine.of[c.key] = append(mine.of[c.key], at)
	mine.mu.Unlock()
	mine.begun.Store(at)
	var b engine.Batch
	if c.delete {
		b.Delete(loadKey(w, c.key))
	} else {
		b.Put(loadKey(w, c.key), l.value(w, at))
	}
	if err := e.Apply(context.Background(), &b, c.durability); err != nil {
		return fmt.Errorf("change %d of writer %d: %w", at, w, err)
	}
	mine.acked.Store(at)
	if c.durability == engine.Flushed {
		mine.flushed.Store(at)
	}
	return nil
}

// read gets some keys, or scans those of a writer.
func (l *load) read(e engine.Engine, r *rand.Rand) error {
	l.reads.Add(1)
	w := r.IntN(loadWriters)
	if r.IntN(40) == 0 {
		return l.scan(e, w)
	}
	k := r.IntN(loadKeys)
	from := l.writers[w].acked.Load()
	value, err := e.Get(loadKey(w, k), nil)
	if errors.Is(err, engine.ErrNotFound) {
		value, err = nil, nil
	} else if err == nil && value == nil {
		value = []byte{}
	}
	if err != nil {
		return err
	}
	return l.possible(w, k, from, l.writers[w].begun.Load(), value)
}

// scan walks over the keys of a writer.
func (l *load) scan(e engine.Engine, w int) error {
	from := l.writers[w].acked.Load()
	shown, err := scanLoad(e, w)
	if err != nil {
		return err
	}
	to := l.writers[w].begun.Load()
	for k := range loadKeys {
		if err := l.possible(w, k, from, to, shown[string(loadKey(w, k))]); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	return nil
}

func scanLoad(e engine.Engine, w int) (map[string][]byte, error) {
	it, err := e.NewIterator(engine.IterOptions{Lower: fmt.Appendf(nil, "load%d/", w), Upper: fmt.Appendf(nil, "load%d0", w)})
	if err != nil {
		return nil, err
	}
	shown := map[string][]byte{}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		shown[string(it.Key())] = append([]byte{}, value...)
	}
	return shown, errors.Join(it.Err(), it.Close())
}

// possible holds the value that was read of a key, nil for none, against what its writer
// had acknowledged before, and begun by then.
func (l *load) possible(w, k int, from, to uint64, value []byte) error {
	mine := &l.writers[w]
	mine.mu.Lock()
	defer mine.mu.Unlock()
	positions := mine.of[k]
	// The last change that had been acknowledged counts, or any of those begun since.
	first := 0
	for first < len(positions) && positions[first] <= from {
		first++
	}
	if first == 0 && value == nil {
		return nil
	}
	for i := max(first-1, 0); i < len(positions) && positions[i] <= to; i++ {
		if l.isAt(w, mine.changes[positions[i]-1], positions[i], value) {
			return nil
		}
	}
	return &workload.Violation{Fault: workload.Wrong, Text: fmt.Sprintf("key %s shows %s; its writer had %d changes acknowledged and %d begun, those of the key being %v", loadKey(w, k), name16(value), from, to, positions)}
}

// isAt reports whether a value, nil for none, is what the change at a position left.
func (l *load) isAt(w int, c change, at uint64, value []byte) bool {
	if c.delete {
		return value == nil
	}
	return value != nil && string(value) == string(l.value(w, at))
}

// name16 says what a value claims to be.
func name16(v []byte) string {
	if len(v) < 16 {
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprintf("%d bytes of change %d of writer %d", len(v), binary.LittleEndian.Uint64(v[8:]), binary.LittleEndian.Uint64(v))
}

// marks are how far each writer was.
type marks [loadWriters]uint64

// acked returns how much is acknowledged, flushed how much of it is durable, begun how
// much can be there at all.
func (l *load) acked() (m marks) {
	for w := range l.writers {
		m[w] = l.writers[w].acked.Load()
	}
	return m
}

func (l *load) flushed() (m marks) {
	for w := range l.writers {
		m[w] = l.writers[w].flushed.Load()
	}
	return m
}

func (m marks) sum() (n uint64) {
	for _, at := range m {
		n += at
	}
	return n
}

// check reads everything by scan and by get, and holds it against the ledger: of each
// writer the store shows all changes up to one, which is no earlier than least says. What
// it shows is what there is from now on.
func (l *load) check(e engine.Engine, least marks) error {
	for w := range l.writers {
		shown, err := scanLoad(e, w)
		if err != nil {
			return &workload.Violation{Fault: workload.Failed, Text: "read everything", Err: err}
		}
		for k := range loadKeys {
			got, err := e.Get(loadKey(w, k), nil)
			scanned, there := shown[string(loadKey(w, k))]
			if there != (err == nil) || err != nil && !errors.Is(err, engine.ErrNotFound) || there && string(got) != string(scanned) {
				return &workload.Violation{Fault: workload.Wrong, Text: fmt.Sprintf("key %s: a scan shows %s, and a get %s", loadKey(w, k), name16(scanned), name16(got)), Err: err}
			}
		}
		if err := l.settle(w, least[w], shown); err != nil {
			return err
		}
	}
	return nil
}

// settle finds the last change of a writer that a store shows, and forgets those behind it.
func (l *load) settle(w int, least uint64, shown map[string][]byte) error {
	mine := &l.writers[w]
	mine.mu.Lock()
	defer mine.mu.Unlock()
	wrong := loadKeys // keys that do not show what they should after so many changes
	right := make([]bool, loadKeys)
	judge := func(k int, is bool) {
		if is != right[k] {
			right[k] = is
			if is {
				wrong--
			} else {
				wrong++
			}
		}
	}
	for k := range loadKeys {
		judge(k, shown[string(loadKey(w, k))] == nil)
	}
	last, found := uint64(0), wrong == 0
	for i, c := range mine.changes {
		at := uint64(i) + 1
		judge(c.key, l.isAt(w, c, at, shown[string(loadKey(w, c.key))]))
		if wrong == 0 {
			last, found = at, true
		}
	}
	switch {
	case !found:
		return &workload.Violation{Fault: workload.Wrong, Text: fmt.Sprintf("the keys of writer %d: %d changes were begun, and the store shows what was after none of them", w, len(mine.changes))}
	case last < least:
		return &workload.Violation{Fault: workload.Lost, Text: fmt.Sprintf("writer %d had %d changes acknowledged, and the store shows %d", w, least, last)}
	}
	mine.changes = mine.changes[:last]
	for k := range mine.of {
		for n := len(mine.of[k]); n > 0 && mine.of[k][n-1] > last; n-- {
			mine.of[k] = mine.of[k][:n-1]
		}
	}
	mine.begun.Store(last)
	mine.acked.Store(last)
	mine.flushed.Store(last)
	return nil
}
