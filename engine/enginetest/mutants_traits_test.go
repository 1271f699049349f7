package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

type entriesOf = iter.Seq2[[]byte, []byte]

// conditionally seeds a defect in what ApplyIf takes for read.
func conditionally(change func(engine.ReadSet) engine.ReadSet) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			return inner(ctx, at, change(reads), b, d)
		}
	})
}

// keysRead seeds a defect in which of the keys that were read count.
func keysRead(counts func(then, now engine.Reader, key []byte) bool) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			reads.Keys = slices.DeleteFunc(slices.Clone(reads.Keys), func(key []byte) bool { return !counts(at, s.base, key) })
			return inner(ctx, at, reads, b, d)
		}
	})
}

func has(r engine.Reader, key []byte) bool {
	_, err := r.Get(key, nil)
	return err == nil
}

// ingesting seeds a defect in Ingest.
func ingesting(defect func(s *subject, ctx context.Context, entries entriesOf) error) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		s.ingest = func(ctx context.Context, entries entriesOf) error { return defect(s, ctx, entries) }
	})
}

// measuring seeds a defect in Metrics.
func measuring(change func(*engine.Metrics)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		inner := s.metrics
		s.metrics = func() engine.Metrics {
			m := inner()
			change(&m)
			return m
		}
	})
}

// optional are the traits that name an interface.
var optional = map[string]func(*engine.Traits) *bool{
	"MultiGet":       func(t *engine.Traits) *bool { return &t.MultiGet },
	"Families":       func(t *engine.Traits) *bool { return &t.Families },
	"Conditional":    func(t *engine.Traits) *bool { return &t.Conditional },
	"NamedSnapshots": func(t *engine.Traits) *bool { return &t.NamedSnapshots },
	"Sequenced":      func(t *engine.Traits) *bool { return &t.Sequenced },
	"Ingest":         func(t *engine.Traits) *bool { return &t.Ingest },
}

func traitMutants() []mutant {
	const declared = "traits/declared-and-present-or-neither"
	declaring := func(change func(*engine.Traits)) func(string) (engine.Engine, error) {
		return volatile(func(s *subject) {
			inner := s.traits
			s.traits = func() engine.Traits { t := inner(); change(&t); return t }
		})
	}
	all := []mutant{
		{declared, "the engine has no name", declaring(func(t *engine.Traits) { t.Name = "" })},
		{declared, "persistent, with nothing that survives", declaring(func(t *engine.Traits) { t.Persistent = true })},
		{declared, "buffered, and not persistent", declaring(func(t *engine.Traits) {
			t.Durability = engine.DurabilityOf(engine.Memory, engine.Buffered)
		})},
		{declared, "no class of durability", declaring(func(t *engine.Traits) { t.Durability = 0 })},
		{declared, "Sequenced, but not its snapshots", volatile(func(s *subject) {
			inner := s.snapshot
			s.snapshot = func() (engine.Snapshot, error) {
				snap, err := inner()
				return struct{ engine.Snapshot }{snap}, err
			}
		})},
	}
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		field := optional[name]
		all = append(all,
			mutant{declared, name + " is declared and absent", func(string) (engine.Engine, error) {
				b := newBare(volatileSubject())
				*field(&b.traits) = true
				return b, nil
			}},
			mutant{declared, name + " is present and undeclared", persistent(func(s *familySubject) {
				inner := s.traits
				s.traits = func() engine.Traits {
					t := inner()
					*field(&t) = false
					return t
				}
			})})
	}
	return slices.Concat(all, readManyMutants, familyMutants, conditionalMutants, namedSnapshotMutants, sequencedMutants, loggedMutants, ingestMutants, upkeepMutants)
}

var readManyMutants = []mutant{
	{"traits/multi-get", "answers come in reverse", volatile(func(s *subject) {
		inner := s.multiGet
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			keys = slices.Clone(keys)
			slices.Reverse(keys)
			return inner(keys, func(i int, value []byte, present bool) { found(len(keys)-1-i, value, present) })
		}
	})},
	{"traits/multi-get", "answers come in key order under their place", volatile(func(s *subject) {
		inner := s.multiGet
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			keys = slices.Clone(keys)
			slices.SortFunc(keys, bytes.Compare)
			return inner(keys, found)
		}
	})},
	{"traits/multi-get", "a key that is not there is present", answering(func(found func(int, []byte, bool)) func(int, []byte, bool) {
		return func(i int, value []byte, _ bool) { found(i, value, true) }
	})},
	{"traits/multi-get", "a key that is not there has an empty value", answering(func(found func(int, []byte, bool)) func(int, []byte, bool) {
		return func(i int, value []byte, present bool) { found(i, append([]byte{}, value...), present) }
	})},
	{"traits/multi-get", "a key that is not there has no answer", answering(func(found func(int, []byte, bool)) func(int, []byte, bool) {
		return func(i int, value []byte, present bool) {
			if present {
				found(i, value, present)
			}
		}
	})},
	{"traits/multi-get", "no more than 100 keys are answered", volatile(func(s *subject) {
		inner := s.multiGet
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			return inner(keys[:min(len(keys), 100)], found)
		}
	})},
	{"concurrent/multi-get-of-one-commit", "keys are read one by one", volatile(func(s *subject) {
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			for i, key := range keys {
				value, err := s.base.Get(key, nil)
				if err != nil && !errors.Is(err, engine.ErrNotFound) {
					return err
				}
				found(i, value, err == nil)
				letOthersRun()
			}
			return nil
		}
	})},
}

// answering seeds a defect in the answers of MultiGet.
func answering(change func(found func(int, []byte, bool)) func(int, []byte, bool)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		inner := s.multiGet
		s.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error { return inner(keys, change(found)) }
	})
}

// editFamilies makes s apply what change leaves of each batch.
func editFamilies(change func(*familySubject, []engine.Op) []engine.Op) func(string) (engine.Engine, error) {
	return persistent(func(s *familySubject) {
		s.edit(func(ops []engine.Op) []engine.Op { return change(s, ops) })
	})
}

var familyMutants = []mutant{
	{"traits/families", "undeclared families are written to the default one", editing(func(ops []engine.Op) []engine.Op {
		for i := range ops {
			ops[i].Family = 0
		}
		return ops
	})},
	{"traits/families", "puts in families two and up go to family one", editFamilies(func(_ *familySubject, ops []engine.Op) []engine.Op {
		for i := range ops {
			ops[i].Family = min(ops[i].Family, 1)
		}
		return ops
	})},
	{"traits/families", "the first family is the default one", persistent(func(s *familySubject) {
		create := s.createFamily
		s.createFamily = func(ctx context.Context, name string) (engine.FamilyID, error) {
			if name == "one" {
				return 0, nil
			}
			return create(ctx, name)
		}
	})},
	{"traits/families", "creating a family again makes another", persistent(func(s *familySubject) {
		create := s.createFamily
		made := map[string]int{}
		s.createFamily = func(ctx context.Context, name string) (engine.FamilyID, error) {
			if made[name]++; made[name] > 1 {
				name += fmt.Sprint(made[name])
			}
			return create(ctx, name)
		}
	})},
	{"traits/families", "a family needs no name", persistent(func(s *familySubject) {
		create := s.createFamily
		s.createFamily = func(ctx context.Context, name string) (engine.FamilyID, error) {
			if name == "" {
				return 77, nil
			}
			return create(ctx, name)
		}
	})},
	{"traits/families", "reads of a family show the default one", persistent(func(s *familySubject) {
		in := s.in
		s.in = func(f engine.FamilyID) (engine.Reader, error) {
			if _, err := in(f); err != nil {
				return nil, err
			}
			return in(0)
		}
	})},
	{"traits/families", "a snapshot's families are the newest", persistent(func(s *familySubject) {
		s.onSnapshot = func(p *pin) { p.in = s.in }
	})},
	{"traits/families", "delete-range in a family is in the default one", editFamilies(func(_ *familySubject, ops []engine.Op) []engine.Op {
		for i := range ops {
			if ops[i].Kind == engine.OpDeleteRange {
				ops[i].Family = 0
			}
		}
		return ops
	})},
	{"traits/families", "operations in a family that is not there are left out", editFamilies(func(s *familySubject, ops []engine.Op) []engine.Op {
		return slices.DeleteFunc(ops, func(op engine.Op) bool {
			_, err := s.in(op.Family)
			return err != nil
		})
	})},
	{"traits/families", "a reader of a family that is not there is empty", persistent(func(s *familySubject) {
		in := s.in
		s.in = func(f engine.FamilyID) (engine.Reader, error) {
			if r, err := in(f); err == nil {
				return r, nil
			}
			return volatileSubject(), nil
		}
	})},
	{"traits/families", "a restart forgets the families", reopened(lacking(createFamilyRecord))},
	{"traits/families", "a restart brings back a dropped family", reopened(lacking(dropFamilyRecord))},
	{"traits/families", "a restart gives a dropped family's ID again", persistent(func(s *familySubject) {
		d := s.base.(*durable)
		d.last = 0
		for _, id := range d.ids {
			d.last = max(d.last, id)
		}
	})},
	{"traits/families", "a family outlives its drop", persistent(func(s *familySubject) {
		s.dropFamily = func(context.Context, string) error { return nil }
	})},
	{"traits/families", "dropping no family succeeds", persistent(func(s *familySubject) {
		drop := s.dropFamily
		s.dropFamily = func(ctx context.Context, name string) error {
			if err := drop(ctx, name); !errors.Is(err, engine.ErrNotFound) {
				return err
			}
			return nil
		}
	})},
	{"traits/families", "the default family can be dropped", persistent(func(s *familySubject) {
		drop := s.dropFamily
		s.dropFamily = func(ctx context.Context, name string) error {
			if name == "default" {
				return nil
			}
			return drop(ctx, name)
		}
	})},
	{"traits/families", "a dropped family's ID and entries come back with its name", persistent(func(s *familySubject) {
		// Drop only hides the family; create shows it again.
		hidden := map[string]bool{}
		drop, create, in := s.dropFamily, s.createFamily, s.in
		ids := map[engine.FamilyID]string{}
		s.dropFamily = func(ctx context.Context, name string) error {
			if name == "default" {
				return drop(ctx, name)
			}
			if hidden[name] {
				return engine.ErrNotFound
			}
			all, err := s.families()
			ids[all[name]] = name
			hidden[name] = true
			return err
		}
		s.createFamily = func(ctx context.Context, name string) (engine.FamilyID, error) {
			hidden[name] = false
			return create(ctx, name)
		}
		s.in = func(f engine.FamilyID) (engine.Reader, error) {
			if hidden[ids[f]] {
				return nil, engine.ErrNotFound
			}
			return in(f)
		}
	})},
}

var conditionalMutants = []mutant{
	{"traits/conditional", "another engine's snapshot will do", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			err := inner(ctx, at, reads, b, d)
			if errors.Is(err, engine.ErrInvalid) {
				return s.base.Apply(ctx, b, d)
			}
			return err
		}
	})},
	{"traits/conditional", "nothing that was read counts", conditionally(func(engine.ReadSet) engine.ReadSet { return engine.ReadSet{} })},
	{"traits/conditional", "ranges do not count", conditionally(func(r engine.ReadSet) engine.ReadSet { return engine.ReadSet{Keys: r.Keys} })},
	{"traits/conditional", "keys do not count", conditionally(func(r engine.ReadSet) engine.ReadSet { return engine.ReadSet{Ranges: r.Ranges} })},
	{"traits/conditional", "open ranges do not count", conditionally(func(r engine.ReadSet) engine.ReadSet {
		r.Ranges = slices.DeleteFunc(slices.Clone(r.Ranges), func(r engine.Range) bool { return r.Upper == nil })
		return r
	})},
	{"traits/conditional", "the lower bound of a range does not count", conditionally(func(r engine.ReadSet) engine.ReadSet {
		r.Ranges = slices.Clone(r.Ranges)
		for i := range r.Ranges {
			r.Ranges[i].Lower = after(r.Ranges[i].Lower)
		}
		return r
	})},
	{"traits/conditional", "the upper bound of a range counts", conditionally(func(r engine.ReadSet) engine.ReadSet {
		r.Ranges = slices.Clone(r.Ranges)
		for i := range r.Ranges {
			if r.Ranges[i].Upper != nil {
				r.Ranges[i].Upper = after(r.Ranges[i].Upper)
			}
		}
		return r
	})},
	{"traits/conditional", "keys that were not there do not count", keysRead(func(then, _ engine.Reader, key []byte) bool { return has(then, key) })},
	{"traits/conditional", "keys that were deleted do not count", keysRead(func(_, now engine.Reader, key []byte) bool { return has(now, key) })},
	{"traits/conditional", "only keys that are written too count", volatile(func(s *subject) {
		// Snapshot isolation, which admits write skew.
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, _ engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			var written engine.ReadSet
			for op := range b.Ops() {
				written.Keys = append(written.Keys, op.Key)
			}
			return inner(ctx, at, written, b, d)
		}
	})},
	{"traits/conditional", "any commit between is a conflict", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			if at.(engine.SequencedSnapshot).Sequence() != s.base.LastSequence() {
				return engine.ErrConflict
			}
			return inner(ctx, at, reads, b, d)
		}
	})},
	{"traits/conditional", "a conflict is told after the fact", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			err := inner(ctx, at, reads, b, d)
			if errors.Is(err, engine.ErrConflict) {
				err = errors.Join(err, s.base.Apply(ctx, b, d))
			}
			return err
		}
	})},
	{"traits/conditional", "a cancelled commit is applied", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(_ context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			return inner(context.Background(), at, reads, b, d)
		}
	})},
	{"traits/conditional", "a closed snapshot will do", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			err := inner(ctx, at, reads, b, d)
			if errors.Is(err, engine.ErrClosed) {
				return s.base.Apply(ctx, b, d)
			}
			return err
		}
	})},
	{"traits/conditional", "ApplyIf does not check limits", volatile(func(s *subject) {
		// Those of the memory engine are wider than what the subject declares.
		s.applyIf = newSubject(s.base).applyIf
	})},
	{"traits/conditional", "ApplyIf takes any class of durability", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, _ engine.Durability) error {
			return inner(ctx, at, reads, b, engine.Memory)
		}
	})},
	{"concurrent/conditional-increments", "the check and the commit are two steps", volatile(func(s *subject) {
		inner := s.applyIf
		s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			if err := inner(ctx, at, reads, new(engine.Batch), d); err != nil {
				return err
			}
			letOthersRun()
			return s.apply(ctx, b, d)
		}
	})},
}

var namedSnapshotMutants = []mutant{
	{"traits/named-snapshots", "names come in the order of creation", volatile(func(s *subject) {
		var order []string
		create, list := s.createSnapshot, s.listSnapshots
		s.createSnapshot = func(ctx context.Context, name string) error {
			order = append(order, name)
			return create(ctx, name)
		}
		s.listSnapshots = func() ([]string, error) {
			names, err := list()
			slices.SortFunc(names, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
			return names, err
		}
	})},
	{"traits/named-snapshots", "a name shows the newest state", volatile(func(s *subject) {
		open := s.openSnapshot
		s.openSnapshot = func(name string) (engine.Snapshot, error) {
			if snap, err := open(name); err != nil {
				return snap, err
			}
			return s.snapshot()
		}
	})},
	{"traits/named-snapshots", "a taken name is given again", volatile(func(s *subject) {
		create, drop := s.createSnapshot, s.dropSnapshot
		s.createSnapshot = func(ctx context.Context, name string) error {
			if err := drop(ctx, name); err != nil && !errors.Is(err, engine.ErrNotFound) {
				return err
			}
			return create(ctx, name)
		}
	})},
	{"traits/named-snapshots", "the empty name will do", volatile(func(s *subject) {
		create := s.createSnapshot
		s.createSnapshot = func(ctx context.Context, name string) error {
			if name == "" {
				return nil
			}
			return create(ctx, name)
		}
	})},
	{"traits/named-snapshots", "drop ends open handles", volatile(func(s *subject) {
		var open []*pin
		s.onSnapshot = func(p *pin) { open = append(open, p) }
		drop := s.dropSnapshot
		s.dropSnapshot = func(ctx context.Context, name string) error {
			for _, p := range open {
				p.get = func(_, dst []byte) ([]byte, error) { return dst, engine.ErrClosed }
			}
			return drop(ctx, name)
		}
	})},
	{"traits/named-snapshots", "a dropped snapshot can be opened", volatile(func(s *subject) {
		s.dropSnapshot = func(ctx context.Context, name string) error { return nil }
	})},
	{"traits/named-snapshots", "dropping no snapshot succeeds", volatile(func(s *subject) {
		drop := s.dropSnapshot
		s.dropSnapshot = func(ctx context.Context, name string) error {
			if err := drop(ctx, name); !errors.Is(err, engine.ErrNotFound) {
				return err
			}
			return nil
		}
	})},
	{"traits/named-snapshots", "a restart forgets them", reopened(lacking(createSnapshotRecord))},
	{"traits/named-snapshots", "a restart brings back a dropped one", reopened(lacking(dropSnapshotRecord))},
	{"traits/named-snapshots", "a restart moves them to the newest state", reopened(func(records []record) []record {
		slices.SortStableFunc(records, func(a, b record) int {
			if a.kind == b.kind {
				return 0
			}
			if a.kind == batchRecord {
				return -1
			}
			return 1
		})
		return records
	})},
}

var sequencedMutants = []mutant{
	{"traits/sequenced", "an engine without the trait gives sequences", func(string) (engine.Engine, error) {
		s := volatileSubject()
		return sequencing{newBare(s), s}, nil
	}},
	{"traits/sequenced", "batches are given no sequence", volatile(func(s *subject) {
		apply := s.apply
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			err := apply(ctx, b, d)
			b.SetSequence(0)
			return err
		}
	})},
	{"traits/sequenced", "two batches share a sequence", volatile(func(s *subject) {
		apply := s.apply
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			err := apply(ctx, b, d)
			b.SetSequence((b.Sequence() + 1) / 2)
			return err
		}
	})},
	{"traits/sequenced", "a new store does not begin at 0", volatile(func(s *subject) {
		last := s.lastSequence
		s.lastSequence = func() uint64 { return last() + 1 }
	})},
	{"traits/sequenced", "LastSequence is that of the batch before", volatile(func(s *subject) {
		last := s.lastSequence
		s.lastSequence = func() uint64 { return max(last(), 1) - 1 }
	})},
	{"traits/sequenced", "a snapshot's sequence is the newest plus one", pinning(func(_ *subject, p *pin) {
		sequence := p.sequence
		p.sequence = func() uint64 { return sequence() + 1 }
	})},
	{"traits/sequenced", "the sequence goes back at a restart", reopened(func(records []record) []record {
		var all []byte
		for _, r := range records {
			all = append(all, r.body...)
		}
		return []record{{batchRecord, all}}
	})},
}

// sequencing is a bare engine whose batches are given sequences all the same.
type sequencing struct {
	bare
	from *subject
}

func (s sequencing) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return s.from.Apply(ctx, b, d)
}

var ingestMutants = []mutant{
	{"traits/ingest", "keys may be over the limit", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		return s.base.Ingest(ctx, entries)
	})},
	{"traits/ingest", "entries may come in any order", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		sorted := map[string][]byte{}
		for key, value := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			sorted[string(key)] = value
		}
		return s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for _, key := range slices.Sorted(maps.Keys(sorted)) {
				if !yield([]byte(key), sorted[key]) {
					return
				}
			}
		})
	})},
	{"traits/ingest", "a key may come twice", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		var last []byte
		return s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				if last != nil && bytes.Equal(key, last) {
					continue
				}
				last = append(last[:0], key...)
				if !yield(key, value) {
					return
				}
			}
		})
	})},
	{"traits/ingest", "what comes before an error shows", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		var good engine.Batch
		err := s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				good.Put(key, value)
				if !yield(key, value) {
					return
				}
			}
		})
		if errors.Is(err, engine.ErrInvalid) {
			err = errors.Join(err, force(s, &good))
		}
		return err
	})},
	{"traits/ingest", "what comes before a cancellation shows", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		var good engine.Batch
		err := s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				good.Put(key, value)
				if !yield(key, value) {
					return
				}
			}
		})
		if errors.Is(err, context.Canceled) {
			err = errors.Join(err, force(s, &good))
		}
		return err
	})},
	{"traits/ingest", "the context is ignored", ingesting(func(s *subject, _ context.Context, entries entriesOf) error {
		return s.base.Ingest(context.Background(), entries)
	})},
	{"traits/ingest", "keys stay in the caller's memory", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		type entry struct{ key, value []byte }
		var kept []entry
		count := 0
		err := s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				count++
				kept = append(kept, entry{key, value})
				if !yield(key, value) {
					return
				}
			}
		})
		var b engine.Batch
		for _, e := range kept {
			b.Put(e.key, e.value)
		}
		if err == nil && count > 0 {
			err = force(s, batchOf(append([]engine.Op{{Kind: engine.OpDeleteRange, Key: []byte("0"), Value: []byte("9")}}, opsOf(&b)...)...))
		}
		return err
	})},
	{"traits/ingest", "entries do not replace what is there", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		return s.base.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				if old, err := s.base.Get(key, nil); err == nil {
					value = old
				}
				if !yield(key, value) {
					return
				}
			}
		})
	})},
	{"traits/ingest", "entries replace all that is there", ingesting(func(s *subject, ctx context.Context, entries entriesOf) error {
		var b engine.Batch
		b.DeleteRange([]byte{}, []byte("\xff"))
		return errors.Join(force(s, &b), s.base.Ingest(ctx, entries))
	})},
	{"traits/ingest", "a restart loses what was ingested", reopened(without(func(op engine.Op) bool {
		return len(op.Key) == 9 && string(op.Key) > "\x00\x00\x00\x0010000" && op.Key[4] <= '9'
	}))},
}

var upkeepMutants = []mutant{
	{"traits/checkpoint", "an undeclared checkpoint succeeds", volatile(func(s *subject) {
		s.checkpoint = func(context.Context, string) error { return nil }
	})},
	{"traits/checkpoint", "a directory that is not empty will do", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(ctx context.Context, dir string) error {
			if err := inner(ctx, dir); !errors.Is(err, engine.ErrInvalid) {
				return err
			}
			return errors.Join(os.RemoveAll(dir), inner(ctx, dir))
		}
	})},
	{"traits/checkpoint", "a refused checkpoint empties the directory", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(ctx context.Context, dir string) error {
			err := inner(ctx, dir)
			if errors.Is(err, engine.ErrInvalid) {
				return errors.Join(err, os.RemoveAll(logPath(dir)))
			}
			return err
		}
	})},
	{"traits/checkpoint", "an empty directory is refused", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(ctx context.Context, dir string) error {
			if _, err := os.Stat(dir); err == nil {
				return engine.ErrInvalid
			}
			return inner(ctx, dir)
		}
	})},
	{"traits/checkpoint", "a checkpoint is empty", persistent(func(s *familySubject) {
		s.checkpoint = func(_ context.Context, dir string) error { return os.MkdirAll(dir, 0o700) }
	})},
	{"traits/checkpoint", "a checkpoint shares its log with the store", persistent(func(s *familySubject) {
		s.checkpoint = func(_ context.Context, dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o700), os.Link(logPath(s.dir), logPath(dir)))
		}
	})},
	{"traits/checkpoint", "a checkpoint is as locked as the store", persistent(func(s *familySubject) {
		inner := s.checkpoint
		s.checkpoint = func(ctx context.Context, dir string) error {
			return errors.Join(inner(ctx, dir), os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600))
		}
	})},
	{"traits/checkpoint", "writes fail during a checkpoint", persistent(func(s *familySubject) {
		checkpoint, apply := s.checkpoint, s.apply
		var busy, met atomic.Bool
		s.checkpoint = func(ctx context.Context, dir string) error {
			busy.Store(true)
			for range 10_000_000 { // until a write has come, if any does
				if met.Load() {
					break
				}
				runtime.Gosched()
			}
			busy.Store(false)
			return checkpoint(ctx, dir)
		}
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			if busy.Load() {
				met.Store(true)
				return engine.ErrReadOnly
			}
			return apply(ctx, b, d)
		}
	})},
	{"traits/compact", "an undeclared compaction succeeds", volatile(func(s *subject) {
		s.compact = func(context.Context, []byte, []byte) error { return nil }
	})},
	{"traits/compact", "compaction drops what it goes over", persistent(func(s *familySubject) {
		inner := s.compact
		s.compact = func(ctx context.Context, lower, upper []byte) error {
			var b engine.Batch
			b.DeleteRange(lower, upper)
			return errors.Join(inner(ctx, lower, upper), s.base.Apply(ctx, &b, engine.Memory))
		}
	})},
	{"traits/compact", "compaction brings back what was deleted", persistent(func(s *familySubject) {
		inner := s.compact
		s.compact = func(ctx context.Context, lower, upper []byte) error {
			return errors.Join(inner(ctx, lower, upper), s.base.Apply(ctx, batchOf(engine.Op{Kind: engine.OpPut, Key: []byte("00001")}), engine.Memory))
		}
	})},
	{"traits/compact", "reversed bounds are an error", persistent(func(s *familySubject) {
		inner := s.compact
		s.compact = func(ctx context.Context, lower, upper []byte) error {
			if upper != nil && bytes.Compare(lower, upper) > 0 {
				return engine.ErrInvalid
			}
			return inner(ctx, lower, upper)
		}
	})},
	{"traits/metrics", "Missing names no field", measuring(func(m *engine.Metrics) { m.Missing = append(m.Missing, "Goodness") })},
	{"traits/metrics", "Missing names a field that has a figure", measuring(func(m *engine.Metrics) { m.Missing = append(m.Missing, "MemoryBytes") })},
	{"traits/metrics", "open handles are not counted", measuring(func(m *engine.Metrics) { m.OpenIterators, m.OpenSnapshots = 0, 0 })},
	{"traits/metrics", "closed handles are counted", volatile(func(s *subject) {
		inner := s.metrics
		var most engine.Metrics
		s.metrics = func() engine.Metrics {
			m := inner()
			most.OpenIterators = max(most.OpenIterators, m.OpenIterators)
			m.OpenIterators = most.OpenIterators
			return m
		}
	})},
	{"traits/metrics", "the bytes applied are counted in kilobytes", measuring(func(m *engine.Metrics) { m.BytesApplied >>= 10 })},
	{"traits/metrics", "the bytes on disk are not counted", persistent(func(s *familySubject) {
		inner := s.metrics
		s.metrics = func() engine.Metrics { m := inner(); m.DiskBytes = 0; return m }
	})},
	{"traits/metrics", "a name is not snake_case", measuring(func(m *engine.Metrics) { m.Other = map[string]float64{"FilterHits": 1} })},
}
