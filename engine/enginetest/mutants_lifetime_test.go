package enginetest_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// closing seeds a defect in an engine that knows whether it is closed.
func closing(defect func(s *subject, closed *atomic.Bool)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		closed := new(atomic.Bool)
		inner := s.close
		s.close = func() error { closed.Store(true); return inner() }
		defect(s, closed)
	})
}

// without leaves the operations for which drop is true out of a log's batches.
func without(drop func(engine.Op) bool) func([]record) []record {
	return func(records []record) []record {
		for i, r := range records {
			if r.kind == batchRecord {
				b, err := engine.DecodeBatch(r.body)
				if err != nil {
					panic(err)
				}
				records[i].body = batchOf(slices.DeleteFunc(opsOf(b), drop)...).Encoded()
			}
		}
		return records
	}
}

// lacking leaves records of one kind out of a log.
func lacking(kind recordKind) func([]record) []record {
	return func(records []record) []record {
		return slices.DeleteFunc(records, func(r record) bool { return r.kind == kind })
	}
}

var lifetimeMutants = []mutant{
	{"point/empty-value-is-a-value", "an empty value is lost at a restart", reopened(without(func(op engine.Op) bool {
		return op.Kind == engine.OpPut && len(op.Value) == 0
	}))},
	{"point/large-values", "a large value is lost at a restart", reopened(without(func(op engine.Op) bool { return len(op.Value) >= 1<<16 }))},
	{"batch/many-operations", "operations after the 4,096th are lost at a restart", reopened(func(records []record) []record {
		for i, r := range records {
			b, err := engine.DecodeBatch(r.body)
			if err != nil {
				panic(err)
			}
			records[i].body = batchOf(opsOf(b)[:min(b.Count(), 4096)]...).Encoded()
		}
		return records
	})},
	{"batch/each-durability", "commits of class memory are lost at Close", persistent(func(s *familySubject) {
		// They are in the map, but never reach the log: it is cut back to where
		// it stood before them.
		apply, closing := s.apply, s.close
		var keep int64
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			err := apply(ctx, b, d)
			if err != nil || d == engine.Memory {
				return err
			}
			info, err := os.Stat(logPath(s.dir))
			if err == nil {
				keep = info.Size()
			}
			return err
		}
		s.close = func() error { return errors.Join(os.Truncate(logPath(s.dir), keep), closing()) }
	})},
	{"lifetime/reopen", "a restart loses the last batch", reopened(func(records []record) []record {
		return records[:max(0, len(records)-1)]
	})},
	{"lifetime/reopen", "a restart brings back what was deleted", reopened(without(func(op engine.Op) bool { return op.Kind == engine.OpDeleteRange }))},
	{"random/against-a-map", "a restart does the log backwards", reopened(func(records []record) []record {
		slices.Reverse(records)
		return records
	})},
	{"lifetime/reopen", "a store in memory survives its Close", func() func(string) (engine.Engine, error) {
		var kept *subject
		return func(string) (engine.Engine, error) {
			if kept == nil {
				kept = volatileSubject()
				kept.close = func() error { return nil }
			}
			return kept, nil
		}
	}()},
	{"lifetime/second-opener", "a second opener is admitted", func(dir string) (engine.Engine, error) {
		if err := os.RemoveAll(lockPath(dir)); err != nil {
			return nil, err
		}
		return persistentSubject(dir)
	}},
	{"lifetime/second-opener", "a second opener is told that the store is corrupt", func(dir string) (engine.Engine, error) {
		s, err := persistentSubject(dir)
		if errors.Is(err, engine.ErrLocked) {
			return nil, engine.ErrCorrupt
		}
		return s, err
	}},
	{"lifetime/second-opener", "a second opener empties the log", func(dir string) (engine.Engine, error) {
		s, err := persistentSubject(dir)
		if errors.Is(err, engine.ErrLocked) {
			return nil, errors.Join(os.Truncate(logPath(dir), 0), err)
		}
		return s, err
	}},
	{"lifetime/second-opener", "all stores in memory are one", func() func(string) (engine.Engine, error) {
		shared := volatileSubject()
		return func(string) (engine.Engine, error) {
			s := newSubject(shared.base)
			s.traits, s.apply, s.close = shared.traits, shared.apply, func() error { return nil }
			return s, nil
		}
	}()},

	{"lifetime/everything-closed", "a closed engine answers gets", closing(func(s *subject, closed *atomic.Bool) {
		get := s.get
		s.get = func(key, dst []byte) ([]byte, error) {
			if closed.Load() {
				return append(dst, '1'), nil
			}
			return get(key, dst)
		}
	})},
	{"lifetime/everything-closed", "a get of a closed engine is a miss", closing(func(s *subject, closed *atomic.Bool) {
		get := s.get
		s.get = func(key, dst []byte) ([]byte, error) {
			if closed.Load() {
				return dst, engine.ErrNotFound
			}
			return get(key, dst)
		}
	})},
	{"lifetime/everything-closed", "an iterator of a closed engine is empty", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.newIterator
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			if closed.Load() {
				return s.iterate(volatileSubject(), o)
			}
			return inner(o)
		}
	})},
	{"lifetime/everything-closed", "a closed engine gives snapshots", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.snapshot
		s.snapshot = func() (engine.Snapshot, error) {
			if closed.Load() {
				return volatileSubject().Snapshot()
			}
			return inner()
		}
	})},
	{"lifetime/everything-closed", "a closed engine accepts commits", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.apply
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			if closed.Load() {
				return nil
			}
			return inner(ctx, b, d)
		}
	})},
	{"lifetime/everything-closed", "a closed engine accepts empty batches", closing(func(s *subject, _ *atomic.Bool) {
		inner := s.apply
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			if b.Count() == 0 {
				return nil
			}
			return inner(ctx, b, d)
		}
	})},
	{"lifetime/everything-closed", "a second Close is nil", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.close
		s.close = func() error {
			if closed.Load() {
				return nil
			}
			return inner()
		}
	})},
	{"lifetime/everything-closed", "a closed engine syncs", persistent(func(s *familySubject) {
		s.sync = func(ctx context.Context) error { return ctx.Err() }
	})},
	{"lifetime/everything-closed", "a closed engine compacts", persistent(func(s *familySubject) {
		s.compact = func(ctx context.Context, _, _ []byte) error { return ctx.Err() }
	})},
	{"lifetime/everything-closed", "a closed engine answers multi-gets", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.multiGet
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			if closed.Load() {
				return nil
			}
			return inner(keys, found)
		}
	})},
	{"lifetime/everything-closed", "a closed engine lists its families", persistent(func(s *familySubject) {
		s.families = func() (map[string]engine.FamilyID, error) { return map[string]engine.FamilyID{"default": 0}, nil }
	})},
	{"lifetime/everything-closed", "a closed engine lists its snapshots", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.listSnapshots
		s.listSnapshots = func() ([]string, error) {
			if closed.Load() {
				return nil, nil
			}
			return inner()
		}
	})},
	{"lifetime/everything-closed", "a closed engine ingests nothing gladly", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.ingest
		s.ingest = func(ctx context.Context, entries entriesOf) error {
			if closed.Load() {
				return nil
			}
			return inner(ctx, entries)
		}
	})},
	{"lifetime/everything-closed", "Traits are empty after Close", closing(func(s *subject, closed *atomic.Bool) {
		inner := s.traits
		s.traits = func() engine.Traits {
			if closed.Load() {
				return engine.Traits{}
			}
			return inner()
		}
	})},
	{"lifetime/everything-closed", "Metrics stay as they were at Close", volatile(func(s *subject) {
		var last engine.Metrics
		inner, closing := s.metrics, s.close
		s.close = func() error {
			if last.BytesApplied == 0 {
				last = inner()
			}
			return closing()
		}
		s.metrics = func() engine.Metrics {
			if last.BytesApplied > 0 {
				return last
			}
			return inner()
		}
	})},

	{"lifetime/close-with-open-handles", "Close does not tell of open handles", volatile(func(s *subject) {
		inner := s.close
		s.close = func() error {
			if err := inner(); !errors.Is(err, engine.ErrInUse) {
				return err
			}
			return nil
		}
	})},
	{"lifetime/close-with-open-handles", "Close refuses while handles are open", volatile(func(s *subject) {
		inner := s.close
		s.close = func() error {
			if m := s.base.Metrics(); m.OpenIterators+m.OpenSnapshots > 0 {
				return engine.ErrInUse
			}
			return inner()
		}
	})},
	{"lifetime/close-with-open-handles", "snapshots end with their engine", closing(func(s *subject, closed *atomic.Bool) {
		s.onSnapshot = func(p *pin) {
			get := p.get
			p.get = func(key, dst []byte) ([]byte, error) {
				if closed.Load() {
					return dst, engine.ErrClosed
				}
				return get(key, dst)
			}
		}
	})},
	{"lifetime/close-with-open-handles", "iterators end with their engine", closing(func(s *subject, closed *atomic.Bool) {
		s.onIterator = func(c *cursor) {
			next := c.next
			c.next = func() bool { return !closed.Load() && next() }
		}
	})},
	{"lifetime/close-with-open-handles", "a second Close of an iterator is nil", iterating(func(c *cursor) {
		inner := c.close
		c.close = func() error { inner(); return nil }
	})},
	{"lifetime/close-with-open-handles", "the directory stays locked", persistent(func(s *familySubject) {
		var closed bool
		inner := s.close
		s.close = func() error { closed = true; return inner() }
		s.onIterator = func(c *cursor) {
			inner := c.close
			var ended bool
			c.close = func() error {
				if !closed {
					return inner()
				}
				if ended {
					return engine.ErrClosed
				}
				ended = true
				return nil
			}
		}
	})},
	{"lifetime/close-with-open-handles", "the directory is unlocked while handles are open", persistent(func(s *familySubject) {
		inner := s.close
		s.close = func() error { return errors.Join(inner(), os.RemoveAll(lockPath(s.dir))) }
	})},
	{"lifetime/close-under-load", "a commit that meets Close fails strangely", volatile(func(s *subject) {
		inner := s.apply
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			err := inner(ctx, b, d)
			if errors.Is(err, engine.ErrClosed) {
				return os.ErrClosed
			}
			return err
		}
	})},
	{"lifetime/close-under-load", "a get that meets Close misses", volatile(func(s *subject) {
		inner := s.get
		s.get = func(key, dst []byte) ([]byte, error) {
			value, err := inner(key, dst)
			if errors.Is(err, engine.ErrClosed) {
				return dst, engine.ErrNotFound
			}
			return value, err
		}
	})},
	{"lifetime/close-under-load", "Close forgets what came before it", persistent(func(s *familySubject) {
		inner := s.close
		var once sync.Once
		s.close = func() error {
			var err error
			once.Do(func() { err = os.Truncate(logPath(s.dir), 0) })
			return errors.Join(err, inner())
		}
	})},
}
