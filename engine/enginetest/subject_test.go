package enginetest_test

import (
	"context"
	"iter"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
)

// base is what both sound engines of these tests have.
type base interface {
	engine.Engine
	engine.MultiGetter
	engine.Conditional
	engine.NamedSnapshots
	engine.Sequenced
	engine.Ingester
}

// subject is a sound engine whose every method is a variable, so that a defect
// is the replacement of one.
type subject struct {
	base base

	get            func(key, dst []byte) ([]byte, error)
	newIterator    func(engine.IterOptions) (engine.Iterator, error)
	snapshot       func() (engine.Snapshot, error)
	apply          func(context.Context, *engine.Batch, engine.Durability) error
	sync           func(context.Context) error
	checkpoint     func(context.Context, string) error
	compact        func(ctx context.Context, lower, upper []byte) error
	traits         func() engine.Traits
	metrics        func() engine.Metrics
	close          func() error
	multiGet       func(keys [][]byte, found func(int, []byte, bool)) error
	applyIf        func(context.Context, engine.Snapshot, engine.ReadSet, *engine.Batch, engine.Durability) error
	createSnapshot func(context.Context, string) error
	listSnapshots  func() ([]string, error)
	openSnapshot   func(string) (engine.Snapshot, error)
	dropSnapshot   func(context.Context, string) error
	lastSequence   func() uint64
	ingest         func(context.Context, iter.Seq2[[]byte, []byte]) error

	// onIterator and onSnapshot see each new handle, before its first use.
	onIterator func(*cursor)
	onSnapshot func(*pin)
}

func newSubject(b base) *subject {
	s := &subject{
		base: b, get: b.Get, apply: b.Apply, sync: b.Sync, checkpoint: b.Checkpoint, compact: b.Compact,
		traits: b.Traits, metrics: b.Metrics, close: b.Close, multiGet: b.MultiGet,
		createSnapshot: b.CreateSnapshot, listSnapshots: b.ListSnapshots, dropSnapshot: b.DropSnapshot,
		lastSequence: b.LastSequence,
		onIterator:   func(*cursor) {}, onSnapshot: func(*pin) {},
	}
	s.ingest = func(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
		// The base's limits are larger than those that the subject declares.
		limits, err := s.traits().Limits, error(nil)
		baseErr := b.Ingest(ctx, func(yield func([]byte, []byte) bool) {
			for key, value := range entries {
				if len(key) > limits.MaxKeyBytes || len(value) > limits.MaxValueBytes {
					err = engine.KeyError("ingest", key, engine.ErrTooLarge)
					yield(nil, nil) // out of order, so that nothing is ingested
					return
				}
				if !yield(key, value) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		return baseErr
	}
	s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(b, o) }
	s.snapshot = func() (engine.Snapshot, error) { return s.pinned(b.Snapshot()) }
	s.openSnapshot = func(name string) (engine.Snapshot, error) { return s.pinned(b.OpenSnapshot(name)) }
	s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, batch *engine.Batch, d engine.Durability) error {
		return b.ApplyIf(ctx, at.(interface{ origin() engine.Snapshot }).origin(), reads, batch, d)
	}
	return s
}

func (s *subject) Get(key, dst []byte) ([]byte, error) { return s.get(key, dst) }
func (s *subject) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return s.newIterator(o)
}
func (s *subject) Snapshot() (engine.Snapshot, error) { return s.snapshot() }
func (s *subject) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return s.apply(ctx, b, d)
}
func (s *subject) Sync(ctx context.Context) error                   { return s.sync(ctx) }
func (s *subject) Checkpoint(ctx context.Context, dir string) error { return s.checkpoint(ctx, dir) }
func (s *subject) Compact(ctx context.Context, lower, upper []byte) error {
	return s.compact(ctx, lower, upper)
}
func (s *subject) Traits() engine.Traits   { return s.traits() }
func (s *subject) Metrics() engine.Metrics { return s.metrics() }
func (s *subject) Close() error            { return s.close() }
func (s *subject) MultiGet(keys [][]byte, found func(int, []byte, bool)) error {
	return s.multiGet(keys, found)
}
func (s *subject) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	return s.applyIf(ctx, at, reads, b, d)
}
func (s *subject) CreateSnapshot(ctx context.Context, name string) error {
	return s.createSnapshot(ctx, name)
}
func (s *subject) ListSnapshots() ([]string, error) { return s.listSnapshots() }
func (s *subject) OpenSnapshot(name string) (engine.Snapshot, error) {
	return s.openSnapshot(name)
}
func (s *subject) DropSnapshot(ctx context.Context, name string) error {
	return s.dropSnapshot(ctx, name)
}
func (s *subject) LastSequence() uint64 { return s.lastSequence() }
func (s *subject) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	return s.ingest(ctx, entries)
}

// volatileSubject is a subject over the memory engine, with small limits.
func volatileSubject() *subject {
	s := newSubject(memory.Open())
	s.traits = func() engine.Traits {
		t := s.base.Traits()
		t.Limits = smallLimits
		return t
	}
	s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
		if err := smallLimits.Check(b); err != nil {
			return err
		}
		return s.base.Apply(ctx, b, d)
	}
	applyIf := s.applyIf
	s.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
		if err := smallLimits.Check(b); err != nil {
			return err
		}
		return applyIf(ctx, at, reads, b, d)
	}
	return s
}

// familySubject is a subject over the durable engine, which has families too.
type familySubject struct {
	*subject
	dir string

	in           func(engine.FamilyID) (engine.Reader, error)
	createFamily func(context.Context, string) (engine.FamilyID, error)
	dropFamily   func(context.Context, string) error
	families     func() (map[string]engine.FamilyID, error)
}

func persistentSubject(dir string) (*familySubject, error) {
	d, err := openDurable(dir)
	if err != nil {
		return nil, err
	}
	return &familySubject{
		subject: newSubject(d), dir: dir,
		in: d.In, createFamily: d.CreateFamily, dropFamily: d.DropFamily, families: d.Families,
	}, nil
}

func (s *familySubject) In(f engine.FamilyID) (engine.Reader, error) { return s.in(f) }
func (s *familySubject) CreateFamily(ctx context.Context, name string) (engine.FamilyID, error) {
	return s.createFamily(ctx, name)
}
func (s *familySubject) DropFamily(ctx context.Context, name string) error {
	return s.dropFamily(ctx, name)
}
func (s *familySubject) Families() (map[string]engine.FamilyID, error) { return s.families() }

// bare is an engine without any optional interface.
type bare struct {
	engine.Engine
	traits engine.Traits
}

func newBare(from *subject) bare {
	t := from.Traits()
	t.MultiGet, t.Families, t.Conditional, t.NamedSnapshots, t.Sequenced, t.Ingest, t.Logged = false, false, false, false, false, false, false
	return bare{from, t}
}

func (b bare) Traits() engine.Traits { return b.traits }

func (b bare) Apply(ctx context.Context, batch *engine.Batch, d engine.Durability) error {
	err := b.Engine.Apply(ctx, batch, d)
	batch.SetSequence(0)
	return err
}

func (b bare) Snapshot() (engine.Snapshot, error) {
	snap, err := b.Engine.Snapshot()
	if err != nil {
		return nil, err
	}
	return struct{ engine.Snapshot }{snap}, nil
}

// cursor is an iterator whose every method is a variable.
type cursor struct {
	first, last, next, prev func() bool
	seekGE, seekLT          func([]byte) bool
	key                     func() []byte
	value                   func() ([]byte, error)
	err, close              func() error
}

func (s *subject) iterate(r engine.Reader, o engine.IterOptions) (engine.Iterator, error) {
	i, err := r.NewIterator(o)
	if err != nil {
		return nil, err
	}
	c := new(cursor)
	c.over(i)
	s.onIterator(c)
	return c, nil
}

// over makes i the iterator behind c.
func (c *cursor) over(i engine.Iterator) {
	*c = cursor{i.First, i.Last, i.Next, i.Prev, i.SeekGE, i.SeekLT, i.Key, i.Value, i.Err, i.Close}
}

func (c *cursor) First() bool            { return c.first() }
func (c *cursor) Last() bool             { return c.last() }
func (c *cursor) Next() bool             { return c.next() }
func (c *cursor) Prev() bool             { return c.prev() }
func (c *cursor) SeekGE(key []byte) bool { return c.seekGE(key) }
func (c *cursor) SeekLT(key []byte) bool { return c.seekLT(key) }
func (c *cursor) Key() []byte            { return c.key() }
func (c *cursor) Value() ([]byte, error) { return c.value() }
func (c *cursor) Err() error             { return c.err() }
func (c *cursor) Close() error           { return c.close() }

// pin is a snapshot whose every method is a variable.
type pin struct {
	snap        engine.Snapshot
	get         func(key, dst []byte) ([]byte, error)
	newIterator func(engine.IterOptions) (engine.Iterator, error)
	sequence    func() uint64
	in          func(engine.FamilyID) (engine.Reader, error)
	close       func() error
}

// familyPin is a pin with families.
type familyPin struct{ *pin }

func (s *subject) pinned(snap engine.Snapshot, err error) (engine.Snapshot, error) {
	if err != nil {
		return nil, err
	}
	p := &pin{snap: snap, get: snap.Get, close: snap.Close, sequence: snap.(engine.SequencedSnapshot).Sequence}
	p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(snap, o) }
	families, has := snap.(engine.FamilyReader)
	if has {
		p.in = families.In
	}
	s.onSnapshot(p)
	if has {
		return familyPin{p}, nil
	}
	return p, nil
}

func (p *pin) Get(key, dst []byte) ([]byte, error)                       { return p.get(key, dst) }
func (p *pin) NewIterator(o engine.IterOptions) (engine.Iterator, error) { return p.newIterator(o) }
func (p *pin) Sequence() uint64                                          { return p.sequence() }
func (p *pin) Close() error                                              { return p.close() }
func (p *pin) origin() engine.Snapshot                                   { return p.snap }
func (p familyPin) In(f engine.FamilyID) (engine.Reader, error)          { return p.in(f) }
