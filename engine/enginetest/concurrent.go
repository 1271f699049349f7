package enginetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// leastChanges is how often readers must have found something new before the
// writers of a case may end: a case in which all reads came before or after all
// writes would have shown nothing.
const leastChanges = 50

var concurrentCases = []Case{
	{"concurrent/batches-whole-and-in-order", func(s *session) {
		// Each writer sets all of its keys to one number that grows. Any reader
		// at any moment must find a writer's keys equal within a snapshot or an
		// iterator, and never less than what it saw before or what is known to
		// be acknowledged.
		const writers, readers, keys, rounds = 4, 4, 8, 150
		name := func(w, k int) []byte { return fmt.Appendf(nil, "w%d/k%d", w, k) }
		s.apply(func(b *engine.Batch) {
			for w := range writers {
				for k := range keys {
					b.Put(name(w, k), []byte("0"))
				}
			}
		})
		var acknowledged [writers]atomic.Int64
		var changes atomic.Int64
		var writing, reading sync.WaitGroup
		var done atomic.Bool
		var failed firstError
		for w := range writers {
			writing.Go(func() {
				for round := int64(1); (round <= rounds || changes.Load() < leastChanges) && !failed.is(); round++ {
					b := batch(func(b *engine.Batch) {
						b.DeleteRange(name(w, 0), name(w, keys/2))
						for k := range keys {
							b.Put(name(w, k), strconv.AppendInt(nil, round, 10))
						}
					})
					if err := s.Apply(s.ctx, b, s.weak); err != nil {
						failed.set(fmt.Errorf("writer %d: %w", w, err))
						return
					}
					acknowledged[w].Store(round)
					got, err := s.Get(name(w, int(round)%keys), nil)
					if err != nil || string(got) != strconv.FormatInt(round, 10) {
						failed.set(fmt.Errorf("writer %d: its own write %d reads as %q (%v)", w, round, got, err))
					}
				}
			})
		}
		for r := range readers {
			reading.Go(func() {
				var seen [writers]int64
				for n := r; !done.Load() && !failed.is(); n++ {
					var floor [writers]int64
					for w := range floor {
						floor[w] = max(seen[w], acknowledged[w].Load())
					}
					found, err := s.allNumbers(n%3 == 0, writers, keys)
					if err != nil {
						failed.set(fmt.Errorf("reader %d: %w", r, err))
						return
					}
					for w := range found {
						if found[w] < floor[w] {
							failed.set(fmt.Errorf("reader %d: writer %d's number is %d after it was %d", r, w, found[w], floor[w]))
						}
					}
					if seen != [writers]int64(found) {
						changes.Add(1)
					}
					seen = [writers]int64(found)
				}
			})
		}
		writing.Wait()
		done.Store(true)
		reading.Wait()
		if err := failed.get(); err != nil {
			s.failf("%w", err)
		}
		for w := range writers {
			s.has(s, string(name(w, 0)), strconv.FormatInt(acknowledged[w].Load(), 10))
		}
	}},
	{"concurrent/gets-of-one-batch", func(s *session) {
		// Plain gets, without a snapshot: whoever has seen a batch's first key
		// sees its second.
		var failed firstError
		var done atomic.Bool
		var changes atomic.Int64
		s.apply(func(b *engine.Batch) { b.Put([]byte("first"), []byte("0")); b.Put([]byte("second"), []byte("0")) })
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for before := int64(0); !done.Load() && !failed.is(); {
					one, err1 := s.number("first")
					two, err2 := s.number("second")
					if err := errors.Join(err1, err2); err != nil {
						failed.set(err)
					} else if two < one {
						failed.set(fmt.Errorf("first is %d and then second is %d, of one batch", one, two))
					}
					if one != before {
						changes.Add(1)
					}
					before = one
				}
			})
		}
		for i := 1; (i <= 500 || changes.Load() < leastChanges) && !failed.is(); i++ {
			number := strconv.AppendInt(nil, int64(i), 10)
			s.apply(func(b *engine.Batch) { b.Put([]byte("second"), number); b.Put([]byte("first"), number) })
		}
		done.Store(true)
		readers.Wait()
		if err := failed.get(); err != nil {
			s.failf("%w", err)
		}
	}},
	{"concurrent/snapshot-shared-by-readers", func(s *session) {
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for i := range 500 {
				b.Put(fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "%d", i))
			}
			m.apply(b)
		})
		snap := s.snapshot()
		var failed firstError
		var readers sync.WaitGroup
		for r := range 4 {
			readers.Go(func() {
				for i := range 500 {
					got, err := snap.Get(fmt.Appendf(nil, "%04d", i), nil)
					if err != nil || string(got) != strconv.Itoa(i) {
						failed.set(fmt.Errorf("reader %d: entry %d reads as %q (%v)", r, i, got, err))
						return
					}
				}
				it, err := snap.NewIterator(engine.IterOptions{})
				if err != nil {
					failed.set(err)
					return
				}
				n := 0
				for ok := it.First(); ok; ok = it.Next() {
					if string(it.Key()) != m.keys[n] {
						failed.set(fmt.Errorf("reader %d: entry %d is %q", r, n, it.Key()))
						break
					}
					n++
				}
				if err := it.Close(); err != nil || n != 500 {
					failed.set(fmt.Errorf("reader %d: %d entries of 500 (%v)", r, n, err))
				}
			})
		}
		for i := range 100 {
			s.put(fmt.Sprintf("%04d", i*5), "new")
		}
		readers.Wait()
		if err := failed.get(); err != nil {
			s.failf("%w", err)
		}
		s.ok(snap.Close(), "close snapshot")
	}},
	{"concurrent/multi-get-of-one-commit", func(s *session) {
		x, ok := s.Engine.(engine.MultiGetter)
		if !ok {
			return
		}
		var keys [][]byte
		for k := range 8 {
			keys = append(keys, fmt.Appendf(nil, "k%d", k))
		}
		set := func(n int) {
			s.apply(func(b *engine.Batch) {
				for _, key := range keys {
					b.Put(key, strconv.AppendInt(nil, int64(n), 10))
				}
			})
		}
		set(0)
		var failed firstError
		var done atomic.Bool
		var changes atomic.Int64
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for before := "0"; !done.Load() && !failed.is(); {
					var first string
					err := x.MultiGet(keys, func(i int, value []byte, present bool) {
						if i == 0 {
							first = string(value)
						} else if !present || string(value) != first {
							failed.set(fmt.Errorf("a batch in part: key 0 is %s and key %d is %q", first, i, value))
						}
					})
					if err != nil {
						failed.set(fmt.Errorf("multi-get: %w", err))
					}
					if first != before {
						changes.Add(1)
					}
					before = first
				}
			})
		}
		for i := 1; (i <= 500 || changes.Load() < leastChanges) && !failed.is(); i++ {
			set(i)
		}
		done.Store(true)
		readers.Wait()
		if err := failed.get(); err != nil {
			s.failf("%w", err)
		}
	}},
	{"concurrent/conditional-increments", func(s *session) {
		// A counter that grows only if nobody else has changed it loses nothing.
		x, ok := s.Engine.(engine.Conditional)
		if !ok {
			return
		}
		const workers, rounds = 4, 50
		s.put("n", "0")
		increment := func() error {
			snap, err := s.Snapshot()
			if err != nil {
				return err
			}
			text, err := snap.Get([]byte("n"), nil)
			if err == nil {
				var n int64
				if n, err = strconv.ParseInt(string(text), 10, 64); err == nil {
					b := batch(func(b *engine.Batch) { b.Put([]byte("n"), strconv.AppendInt(nil, n+1, 10)) })
					err = x.ApplyIf(s.ctx, snap, engine.ReadSet{Keys: [][]byte{[]byte("n")}}, b, s.weak)
				}
			}
			return errors.Join(err, snap.Close())
		}
		var failed firstError
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for done := 0; done < rounds && !failed.is(); {
					switch err := increment(); {
					case err == nil:
						done++
					case !errors.Is(err, engine.ErrConflict):
						failed.set(err)
					}
				}
			})
		}
		wg.Wait()
		if err := failed.get(); err != nil {
			s.failf("%w", err)
		}
		s.has(s, "n", strconv.Itoa(workers*rounds))
	}},
}

// firstError keeps the first error that any goroutine meets.
type firstError struct{ p atomic.Pointer[error] }

func (f *firstError) set(err error) { f.p.CompareAndSwap(nil, &err) }
func (f *firstError) is() bool      { return f.p.Load() != nil }
func (f *firstError) get() error {
	if p := f.p.Load(); p != nil {
		return *p
	}
	return nil
}

// number reads a decimal value.
func (s *session) number(key string) (int64, error) {
	got, err := s.Get([]byte(key), nil)
	if err != nil {
		return 0, fmt.Errorf("get %s: %w", key, err)
	}
	return strconv.ParseInt(string(got), 10, 64)
}

// allNumbers reads each writer's number at one moment, through a snapshot's
// gets or through an iterator, and fails if a writer's keys differ.
func (s *session) allNumbers(bySnapshot bool, writers, keys int) (found []int64, err error) {
	found = make([]int64, writers)
	check := func(w, k int, text []byte) error {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return err
		}
		if k > 0 && n != found[w] {
			return fmt.Errorf("a batch in part: writer %d has %d under key %d and %d under key %d", w, found[w], k-1, n, k)
		}
		found[w] = n
		return nil
	}
	if bySnapshot {
		snap, err := s.Snapshot()
		if err != nil {
			return nil, err
		}
		for w := range writers {
			for k := range keys {
				text, err := snap.Get(fmt.Appendf(nil, "w%d/k%d", w, k), nil)
				if err == nil {
					err = check(w, k, text)
				}
				if err != nil {
					return nil, errors.Join(err, snap.Close())
				}
			}
		}
		return found, snap.Close()
	}
	it, err := s.NewIterator(engine.IterOptions{})
	if err != nil {
		return nil, err
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		text, err := it.Value()
		if err == nil {
			err = check(n/keys, n%keys, text)
		}
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		n++
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	if n != writers*keys {
		return nil, fmt.Errorf("a batch in part: an iterator shows %d of %d keys", n, writers*keys)
	}
	return found, nil
}
