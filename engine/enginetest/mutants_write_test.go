package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
)

func opsOf(b *engine.Batch) []engine.Op { return slices.Collect(b.Ops()) }

func batchOf(ops ...engine.Op) *engine.Batch {
	b := new(engine.Batch)
	for _, op := range ops {
		switch op.Kind {
		case engine.OpPut:
			b.PutIn(op.Family, op.Key, op.Value)
		case engine.OpDelete:
			b.DeleteIn(op.Family, op.Key)
		case engine.OpDeleteRange:
			b.DeleteRangeIn(op.Family, op.Key, op.Value)
		}
	}
	return b
}

// edit makes s apply what change leaves of each batch.
func (s *subject) edit(change func([]engine.Op) []engine.Op) {
	apply := s.apply
	s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
		edited := batchOf(change(opsOf(b))...)
		err := apply(ctx, edited, d)
		b.SetSequence(edited.Sequence())
		return err
	}
}

// editing seeds a defect in the batches that are applied.
func editing(change func([]engine.Op) []engine.Op) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) { s.edit(change) })
}

// editingEach seeds a defect in the operations of one kind.
func editingEach(kind engine.OpKind, change func(engine.Op) []engine.Op) func(string) (engine.Engine, error) {
	return editing(func(ops []engine.Op) (changed []engine.Op) {
		for _, op := range ops {
			if op.Kind == kind {
				changed = append(changed, change(op)...)
			} else {
				changed = append(changed, op)
			}
		}
		return changed
	})
}

// applying seeds a defect in Apply.
func applying(defect func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error { return defect(s, ctx, b, d) }
	})
}

// force applies b whatever the limits, the class and the context say, as far as
// the memory engine goes.
func force(s *subject, b *engine.Batch) error {
	return s.base.Apply(context.Background(), b, engine.Memory)
}

// sound applies b as the subject without defect does.
func sound(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := smallLimits.Check(b); err != nil {
		return err
	}
	return s.base.Apply(ctx, b, d)
}

// keysCut makes every key that comes in into what cut leaves of it.
func keysCut(cut func([]byte) []byte) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		s.edit(func(ops []engine.Op) []engine.Op {
			for i := range ops {
				ops[i].Key = cut(ops[i].Key)
			}
			return ops
		})
		get := s.get
		s.get = func(key, dst []byte) ([]byte, error) { return get(cut(key), dst) }
	})
}

// limited gives the batches of an engine a largest key, value and size.
func limited(most engine.Limits) func(string) (engine.Engine, error) {
	return applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if err := most.Check(b); err != nil {
			return err
		}
		return s.base.Apply(ctx, b, d)
	})
}

// limits returns the small limits, changed.
func limits(change func(*engine.Limits)) engine.Limits {
	l := smallLimits
	change(&l)
	return l
}

var writeMutants = []mutant{
	{"point/put-get-delete", "delete is ignored", editingEach(engine.OpDelete, func(engine.Op) []engine.Op { return nil })},
	{"point/put-get-delete", "put does not overwrite", volatile(func(s *subject) {
		s.edit(func(ops []engine.Op) []engine.Op {
			return slices.DeleteFunc(ops, func(op engine.Op) bool {
				_, err := s.base.Get(op.Key, nil)
				return op.Kind == engine.OpPut && err == nil
			})
		})
	})},
	{"point/empty-value-is-a-value", "a put of an empty value deletes", editingEach(engine.OpPut, func(op engine.Op) []engine.Op {
		if len(op.Value) == 0 {
			op.Kind = engine.OpDelete
		}
		return []engine.Op{op}
	})},
	{"point/empty-key", "the empty key is refused, undeclared", limited(limits(func(l *engine.Limits) { l.NoEmptyKey = true }))},
	{"point/empty-key", "the empty key is accepted, declared as refused", volatile(func(s *subject) {
		s.traits = func() engine.Traits {
			t := s.base.Traits()
			t.Limits = limits(func(l *engine.Limits) { l.NoEmptyKey = true })
			return t
		}
	})},
	{"point/binary-keys-and-values", "keys end at a nought", keysCut(func(key []byte) []byte {
		head, _, _ := bytes.Cut(key, []byte{0})
		return head
	})},
	{"point/binary-keys-and-values", "keys are folded to lower case", keysCut(bytes.ToLower)},
	{"point/keys-alike-in-their-first-bytes", "keys are cut to 255 bytes", keysCut(func(key []byte) []byte { return key[:min(len(key), 255)] })},
	{"point/keys-alike-in-their-first-bytes", "keys are told apart by 16 bytes and their length", keysCut(func(key []byte) []byte {
		if len(key) <= 16 {
			return key
		}
		return fmt.Appendf(nil, "%s%08d", key[:16], len(key))
	})},
	{"point/large-values", "a value's length is kept in 16 bits", editingEach(engine.OpPut, func(op engine.Op) []engine.Op {
		op.Value = op.Value[:len(op.Value)%(1<<16)]
		return []engine.Op{op}
	})},
	{"point/large-values", "a value's second page is its first again", editingEach(engine.OpPut, func(op engine.Op) []engine.Op {
		op.Value = bytes.Clone(op.Value)
		if len(op.Value) > 4096 {
			copy(op.Value[4096:], op.Value[:4096])
		}
		return []engine.Op{op}
	})},

	{"batch/order-within", "a batch is applied backwards", editing(func(ops []engine.Op) []engine.Op { slices.Reverse(ops); return ops })},
	{"batch/order-within", "the first operation on a key wins", editing(func(ops []engine.Op) []engine.Op {
		seen := map[string]bool{}
		return slices.DeleteFunc(ops, func(op engine.Op) bool {
			was := seen[string(op.Key)]
			seen[string(op.Key)] = true
			return was && op.Kind != engine.OpDeleteRange
		})
	})},
	{"batch/order-within", "delete-ranges go first", editing(func(ops []engine.Op) []engine.Op {
		slices.SortStableFunc(ops, func(a, b engine.Op) int { return int(b.Kind/engine.OpDeleteRange) - int(a.Kind/engine.OpDeleteRange) })
		return ops
	})},
	{"batch/order-within", "puts go first", editing(func(ops []engine.Op) []engine.Op {
		slices.SortStableFunc(ops, func(a, b engine.Op) int { return int(a.Kind) - int(b.Kind) })
		return ops
	})},
	{"batch/empty", "an empty batch is refused", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if b.Count() == 0 {
			return engine.ErrInvalid
		}
		return sound(s, ctx, b, d)
	})},
	{"batch/reuse-after-reset", "values stay in the batch's memory", volatile(keepBatch)},
	{"ownership/arguments-stay-the-callers", "the batch's bytes are kept", volatile(keepBatch)},
	{"batch/reuse-after-reset", "an engine applies a batch value once", volatile(func(s *subject) {
		apply := s.apply
		var last *engine.Batch
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			if b == last {
				return nil
			}
			last = b
			return apply(ctx, b, d)
		}
	})},
	{"batch/many-operations", "operations after the 4,096th are left out", editing(func(ops []engine.Op) []engine.Op { return ops[:min(len(ops), 4096)] })},
	{"batch/every-size", "the last operation is left out if it is the first of another sixteen", editing(func(ops []engine.Op) []engine.Op {
		if len(ops) > 1 && len(ops)%16 == 1 {
			return ops[:len(ops)-1]
		}
		return ops
	})},
	{"batch/delete-range", "delete-range includes the upper bound", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		return []engine.Op{op, {Kind: engine.OpDelete, Key: op.Value}}
	})},
	{"batch/delete-range", "delete-range leaves the lower bound", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		op.Key = after(op.Key)
		return []engine.Op{op}
	})},
	{"batch/delete-range", "reversed bounds are swapped", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		if bytes.Compare(op.Key, op.Value) > 0 {
			op.Key, op.Value = op.Value, op.Key
		}
		return []engine.Op{op}
	})},
	{"batch/delete-range", "reversed bounds delete all behind the lower one", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		if bytes.Compare(op.Key, op.Value) > 0 {
			op.Value = []byte("\xff\xff\xff")
		}
		return []engine.Op{op}
	})},
	{"batch/delete-range", "equal bounds delete the key", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		if bytes.Equal(op.Key, op.Value) {
			op.Value = after(op.Value)
		}
		return []engine.Op{op}
	})},
	{"batch/delete-range", "delete-range swallows later puts", volatile(func(s *subject) {
		var deleted []engine.Op
		s.edit(func(ops []engine.Op) []engine.Op {
			return slices.DeleteFunc(ops, func(op engine.Op) bool {
				if op.Kind == engine.OpDeleteRange {
					deleted = append(deleted, op)
				}
				return op.Kind == engine.OpPut && slices.ContainsFunc(deleted, func(r engine.Op) bool {
					return bytes.Compare(r.Key, op.Key) <= 0 && bytes.Compare(op.Key, r.Value) < 0 && string(op.Key) == "b"
				})
			})
		})
	})},
	{"batch/delete-range", "delete-range is by the first byte", editingEach(engine.OpDeleteRange, func(op engine.Op) []engine.Op {
		op.Key, op.Value = op.Key[:min(1, len(op.Key))], op.Value[:min(1, len(op.Value))]
		return []engine.Op{op}
	})},
	{"batch/delete-range-of-many", "delete-range leaves the last key", volatile(func(s *subject) {
		s.edit(func(ops []engine.Op) []engine.Op {
			for i, op := range ops {
				if op.Kind == engine.OpDeleteRange {
					ops[i].Value = lastWithin(s.base, op.Key, op.Value)
				}
			}
			return ops
		})
	})},
	{"batch/delete-range-of-many", "delete-range stops after 4,096 keys", volatile(func(s *subject) {
		s.edit(func(ops []engine.Op) []engine.Op {
			for i, op := range ops {
				if op.Kind == engine.OpDeleteRange {
					ops[i].Value = upToKeys(s.base, op.Key, op.Value, 4096)
				}
			}
			return ops
		})
	})},
	{"batch/each-durability", "an undeclared class is accepted", applying(func(s *subject, ctx context.Context, b *engine.Batch, _ engine.Durability) error {
		return sound(s, ctx, b, engine.Memory)
	})},
	{"batch/each-durability", "an undeclared class is refused after the fact", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		return errors.Join(sound(s, ctx, b, engine.Memory), engine.CheckDurability(s.base.Traits().Durability, d))
	})},
	{"batch/each-durability", "an unknown class is the weakest", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		return sound(s, ctx, b, min(d, engine.Memory))
	})},
	{"batch/sync", "Sync in memory alone succeeds", volatile(func(s *subject) {
		s.sync = func(context.Context) error { return nil }
	})},

	{"limits/published", "a largest entry has no room in a batch", publishing(func(l *engine.Limits) { l.MaxBatchBytes = l.MaxValueBytes })},
	{"limits/published", "limits are not published", publishing(func(l *engine.Limits) { *l = engine.Limits{} })},
	{"limits/largest-key-and-one-byte-more", "a key may be one byte longer", limited(limits(func(l *engine.Limits) { l.MaxKeyBytes++ }))},
	{"limits/largest-key-and-one-byte-more", "a key must be one byte shorter", limited(limits(func(l *engine.Limits) { l.MaxKeyBytes-- }))},
	{"limits/largest-key-and-one-byte-more", "the bounds of a delete-range have no limit", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		points := slices.DeleteFunc(opsOf(b), func(op engine.Op) bool { return op.Kind == engine.OpDeleteRange })
		if err := smallLimits.Check(batchOf(points...)); err != nil {
			return err
		}
		return s.base.Apply(ctx, b, d)
	})},
	{"limits/largest-key-and-one-byte-more", "what comes before a key too large is applied", applying(applyUpToTooLarge)},
	{"limits/largest-key-and-one-byte-more", "a key too large is ErrInvalid", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if smallLimits.Check(b) != nil {
			return engine.ErrInvalid
		}
		return sound(s, ctx, b, d)
	})},
	{"limits/largest-key-and-one-byte-more", "a get of a key too large is an error", getting(func(key, dst, value []byte, err error) ([]byte, error) {
		if len(key) > smallLimits.MaxKeyBytes {
			return dst, engine.ErrTooLarge
		}
		return append(dst, value...), err
	})},
	{"limits/largest-key-and-one-byte-more", "probes are cut to the largest key", iterating(func(c *cursor) {
		seek := c.seekLT
		c.seekLT = func(key []byte) bool { return seek(key[:min(len(key), smallLimits.MaxKeyBytes)]) }
	})},
	{"limits/largest-value-and-one-byte-more", "a value may be one byte longer", limited(limits(func(l *engine.Limits) { l.MaxValueBytes++ }))},
	{"limits/largest-value-and-one-byte-more", "a value must be one byte shorter", limited(limits(func(l *engine.Limits) { l.MaxValueBytes-- }))},
	{"limits/largest-value-and-one-byte-more", "what comes before a value too large is applied", applying(applyUpToTooLarge)},
	{"limits/batch-too-large", "a batch too large is applied", limited(limits(func(l *engine.Limits) { l.MaxBatchBytes *= 2 }))},
	{"limits/batch-too-large", "what fits of a batch too large is applied", applying(applyUpToTooLarge)},

	{"context/cancelled-before", "a cancelled commit is applied", applying(func(s *subject, _ context.Context, b *engine.Batch, d engine.Durability) error {
		return sound(s, context.Background(), b, d)
	})},
	{"context/cancelled-before", "a cancelled commit is applied and refused", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		return errors.Join(sound(s, context.Background(), b, d), ctx.Err())
	})},
	{"context/cancelled-before", "a cancelled commit is ErrClosed", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if ctx.Err() != nil {
			return engine.ErrClosed
		}
		return sound(s, ctx, b, d)
	})},
	{"context/cancelled-before", "Sync ignores its context", persistent(func(s *familySubject) {
		inner := s.sync
		s.sync = func(context.Context) error { return inner(context.Background()) }
	})},
	{"context/cancelled-before", "Compact ignores its context", persistent(func(s *familySubject) {
		inner := s.compact
		s.compact = func(_ context.Context, lower, upper []byte) error { return inner(context.Background(), lower, upper) }
	})},
	{"context/cancelled-before", "Checkpoint ignores its context", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(_ context.Context, dir string) error { return inner(context.Background(), dir) }
	})},
	{"context/cancelled-before", "a cancelled checkpoint leaves one that opens", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(ctx context.Context, dir string) error {
			return errors.Join(inner(context.Background(), dir), ctx.Err())
		}
	})},
	{"context/cause-and-deadline", "a deadline is told as a cancellation", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if ctx.Err() != nil {
			return context.Canceled
		}
		return sound(s, ctx, b, d)
	})},
	{"context/cause-and-deadline", "a deadline is waited for in vain", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return sound(s, context.Background(), b, d)
	})},

	{"concurrent/batches-whole-and-in-order", "a batch is applied in two halves", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		ops := opsOf(b)
		for _, half := range [][]engine.Op{ops[:len(ops)/2], ops[len(ops)/2:]} {
			if err := sound(s, ctx, batchOf(half...), d); err != nil {
				return err
			}
			letOthersRun()
		}
		return nil
	})},
	{"concurrent/batches-whole-and-in-order", "a commit that meets another is lost", volatile(func(s *subject) {
		var busy sync.Mutex
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			if !busy.TryLock() {
				return nil
			}
			defer busy.Unlock()
			letOthersRun()
			return sound(s, ctx, b, d)
		}
	})},
	{"concurrent/batches-whole-and-in-order", "a commit is acknowledged before it shows", volatile(func(s *subject) {
		var order sync.Mutex
		var pending []engine.Op
		s.apply = func(_ context.Context, b *engine.Batch, _ engine.Durability) error {
			order.Lock()
			defer order.Unlock()
			before := pending
			pending = opsOf(b)
			return force(s, batchOf(before...))
		}
	})},
	{"concurrent/batches-whole-and-in-order", "a snapshot may be older than one before", volatile(func(s *subject) {
		inner := s.snapshot
		var order sync.Mutex
		var oldest engine.Snapshot
		count := 0
		s.snapshot = func() (engine.Snapshot, error) {
			order.Lock()
			defer order.Unlock()
			if count++; count%3 == 0 {
				return oldest, nil
			}
			snap, err := inner()
			if err == nil && oldest == nil {
				oldest = unclosed{snap}
				return oldest, nil
			}
			return snap, err
		}
	})},
	{"concurrent/gets-of-one-batch", "a batch shows operation by operation", applying(func(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
		ops := opsOf(b)
		slices.Reverse(ops)
		for _, op := range ops {
			if err := sound(s, ctx, batchOf(op), d); err != nil {
				return err
			}
			letOthersRun()
		}
		return nil
	})},
}

// unclosed is a snapshot that others use too.
type unclosed struct{ engine.Snapshot }

func (unclosed) Close() error { return nil }

// letOthersRun gives the other goroutines of a case time to look.
func letOthersRun() {
	for range 50 {
		runtime.Gosched()
	}
}

// keepBatch makes gets read the memory of the batch that was applied.
func keepBatch(s *subject) {
	kept := map[string][]byte{}
	apply, get := s.apply, s.get
	s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
		for op := range b.Ops() {
			if op.Kind == engine.OpPut {
				kept[string(op.Key)] = op.Value
			}
		}
		return apply(ctx, b, d)
	}
	s.get = func(key, dst []byte) ([]byte, error) {
		if value, there := kept[string(key)]; there {
			return append(dst, value...), nil
		}
		return get(key, dst)
	}
}

// publishing seeds a defect in the limits that an engine declares.
func publishing(change func(*engine.Limits)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		s.traits = func() engine.Traits {
			t := s.base.Traits()
			t.Limits = limits(change)
			return t
		}
	})
}

// applyUpToTooLarge applies what comes before the operation that exceeds a limit.
func applyUpToTooLarge(s *subject, ctx context.Context, b *engine.Batch, d engine.Durability) error {
	var fits engine.Batch
	for op := range b.Ops() {
		next := batchOf(append(opsOf(&fits), op)...)
		if smallLimits.Check(next) != nil {
			break
		}
		fits = *next
	}
	return errors.Join(sound(s, ctx, &fits, d), smallLimits.Check(b))
}

// lastWithin returns the last key in [lower, upper), upper if there is none.
func lastWithin(r engine.Reader, lower, upper []byte) []byte {
	i, err := r.NewIterator(engine.IterOptions{Lower: lower, Upper: upper})
	if err != nil {
		return upper
	}
	defer i.Close()
	if i.Last() {
		return bytes.Clone(i.Key())
	}
	return upper
}

// upToKeys returns the key behind the first count in [lower, upper).
func upToKeys(r engine.Reader, lower, upper []byte, count int) []byte {
	i, err := r.NewIterator(engine.IterOptions{Lower: lower, Upper: upper})
	if err != nil {
		return upper
	}
	defer i.Close()
	for ok := i.First(); ok; ok = i.Next() {
		if count--; count < 0 {
			return bytes.Clone(i.Key())
		}
	}
	return upper
}
