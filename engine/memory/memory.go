package memory

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/tidwall/btree"
)

const (
	// tailRecords is the length of the tail from which it is put in order in the
	// background, and the number of records that this takes at a time.
	tailRecords = 256
	// tailMost is the length at which commits wait for that: it bounds what a
	// snapshot may have to put in order first.
	tailMost = 8 * tailRecords
)

// Engine is a store in memory. Open makes one.
type Engine struct {
	index *index
	// version is odd while the index changes; a commit makes it even again.
	version atomic.Uint64
	closed  atomic.Bool

	// orderMu guards tree, and what goes from the tail to it. Whoever needs mu too
	// takes orderMu first.
	orderMu sync.Mutex
	tree    *btree.BTreeG[item]
	batch   []item // scratch of order

	// mu serialises commits and guards all below; seq, which only a commit
	// writes, is atomic for those who only look.
	mu   sync.Mutex
	tail []item // in commit order; tombstones among them
	// room is signalled when the tail has become shorter, and at Close.
	room *sync.Cond
	// ordering is set while a goroutine puts the tail in order; background waits
	// for it.
	ordering   bool
	background sync.WaitGroup
	// view is the tree's copy that readers share until the next change, nil if
	// there has been one since.
	view        *view
	names       map[string]*view
	recordBytes int

	seq                      atomic.Uint64
	applied                  atomic.Uint64
	openIterators, openSnaps atomic.Int64
}

// view is one commit, ordered. It is never changed.
type view struct {
	tree *btree.BTreeG[item]
	seq  uint64
}

// Open returns an empty store.
func Open() *Engine {
	e := &Engine{
		index: newIndex(),
		tree:  btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: 64}),
		names: map[string]*view{},
	}
	e.room = sync.NewCond(&e.mu)
	return e
}

var traits = engine.Traits{
	Name:           "memory",
	Version:        "Orbit memory engine, tidwall/btree order",
	Durability:     engine.DurabilityOf(engine.Memory),
	Limits:         engine.DefaultLimits(),
	MultiGet:       true,
	Conditional:    true,
	NamedSnapshots: true,
	Sequenced:      true,
	Ingest:         true,
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits { return traits }

// Get implements engine.Reader. It allocates nothing if dst has room.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	if e.closed.Load() {
		return dst, engine.ErrClosed
	}
	r := e.find(key)
	if r == nil {
		if e.closed.Load() { // Close empties the index
			return dst, engine.ErrClosed
		}
		return dst, engine.ErrNotFound
	}
	return append(dst, r.value()...), nil
}

// find returns the newest record of key, nil if there is none.
func (e *Engine) find(key []byte) *record {
	hash := e.index.hash(key)
	for range spins {
		if before := e.version.Load(); before&1 == 0 {
			r := e.index.find(hash, key)
			if e.version.Load() == before {
				return r
			}
		} else {
			runtime.Gosched()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.index.find(hash, key)
}

// spins is how often a reader looks again before it waits for the writer.
const spins = 32

// MultiGet implements engine.MultiGetter.
func (e *Engine) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if e.closed.Load() {
		return engine.ErrClosed
	}
	records := make([]*record, len(keys))
	if !e.findAll(keys, records) {
		e.mu.Lock()
		for i, key := range keys {
			records[i] = e.index.find(e.index.hash(key), key)
		}
		e.mu.Unlock()
	}
	if e.closed.Load() { // Close empties the index
		return engine.ErrClosed
	}
	for i, r := range records {
		if r == nil {
			found(i, nil, false)
		} else {
			found(i, r.value(), true)
		}
	}
	return nil
}

// findAll reports whether it read all records at one commit.
func (e *Engine) findAll(keys [][]byte, records []*record) bool {
	for range spins {
		if before := e.version.Load(); before&1 == 0 {
			for i, key := range keys {
				records[i] = e.index.find(e.index.hash(key), key)
			}
			if e.version.Load() == before {
				return true
			}
		} else {
			runtime.Gosched()
		}
	}
	return false
}

// change is one operation of a batch, prepared outside the lock.
type change struct {
	rec  *record // a tombstone for a delete; the lower bound of a delete-range
	hash uint64
	// upper is the bound of a delete-range, else nil.
	upper *record
}

var changePool = sync.Pool{New: func() any { return new([]change) }}

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.commit(ctx, b, d, nil, nil)
}

// ApplyIf implements engine.Conditional.
func (e *Engine) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	s, ok := at.(*Snapshot)
	if !ok || s.engine != e {
		return fmt.Errorf("apply-if: %w: the snapshot is not of this engine", engine.ErrInvalid)
	}
	v := s.view.Load()
	if v == nil {
		return fmt.Errorf("apply-if: snapshot: %w", engine.ErrClosed)
	}
	return e.commit(ctx, b, d, v, &reads)
}

// commit applies b, if reads is nil or shows now what it showed at v.
func (e *Engine) commit(ctx context.Context, b *engine.Batch, d engine.Durability, v *view, reads *engine.ReadSet) error {
	if err := engine.CheckDurability(traits.Durability, d); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := traits.Limits.Check(b); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: families", engine.ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	pooled := changePool.Get().(*[]change)
	changes := (*pooled)[:0]
	ordered := reads != nil && len(reads.Ranges) > 0
	for op := range b.Ops() {
		var c change
		switch op.Kind {
		case engine.OpPut:
			c.rec = newRecord(op.Key, op.Value)
			c.hash = e.index.hash(op.Key)
		case engine.OpDelete:
			c.rec = newTombstone(op.Key)
			c.hash = e.index.hash(op.Key)
		case engine.OpDeleteRange:
			c.rec, c.upper = newRecord(op.Key, nil), newRecord(op.Value, nil)
			ordered = true
		}
		changes = append(changes, c)
	}
	if ordered {
		e.orderMu.Lock()
	}
	err := e.publish(ctx, changes, b, ordered, v, reads)
	if ordered {
		e.orderMu.Unlock()
	}
	clear(changes)
	*pooled = changes
	changePool.Put(pooled)
	return err
}

// publish makes the changes visible. With ranges among them or among the reads,
// orderMu is held, else not: who holds it does not wait for the background to
// shorten the tail, which could not go on.
func (e *Engine) publish(ctx context.Context, changes []change, b *engine.Batch, holdsOrder bool, v *view, reads *engine.ReadSet) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for !holdsOrder && len(e.tail) >= tailMost && e.ordering && !e.closed.Load() {
		e.room.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if e.closed.Load() {
		return engine.ErrClosed
	}
	if reads != nil {
		if err := e.unchanged(v, *reads); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	e.version.Add(1)
	for _, c := range changes {
		e.change(c)
	}
	b.SetSequence(e.seq.Add(1))
	e.version.Add(1)
	e.applied.Add(uint64(b.Size()))
	if len(e.tail) >= tailRecords && !e.ordering {
		e.ordering = true
		e.background.Go(e.orderBehind)
	}
	return nil
}

// orderBehind puts the tail in order, a batch at a time, until it is short.
func (e *Engine) orderBehind() {
	for more := true; more; {
		e.orderMu.Lock()
		e.mu.Lock()
		more = len(e.tail) >= tailRecords && !e.closed.Load()
		e.ordering = more
		if more {
			e.batch = append(e.batch[:0], e.tail[:tailRecords]...)
			e.tail = slices.Delete(e.tail, 0, tailRecords)
			e.room.Broadcast()
		}
		e.mu.Unlock()
		if more {
			e.order()
		}
		e.orderMu.Unlock()
	}
}

// change does one operation. Under mu, with version odd; a delete-range under
// orderMu too.
func (e *Engine) change(c change) {
	e.view = nil
	switch {
	case c.upper != nil:
		e.deleteRange(c.rec.item(), c.upper.item())
	case c.rec.valueLen == tombstone:
		if old := e.index.remove(c.hash, c.rec.key()); old != nil {
			e.recordBytes -= old.size()
			e.tail = append(e.tail, c.rec.item())
		}
	default:
		e.recordBytes += c.rec.size()
		if old := e.index.set(c.hash, c.rec); old != nil {
			e.recordBytes -= old.size()
		}
		e.tail = append(e.tail, c.rec.item())
	}
}

func (e *Engine) deleteRange(lower, upper item) {
	e.orderTail()
	var doomed []item
	e.tree.Ascend(lower, func(i item) bool {
		if !less(i, upper) {
			return false
		}
		doomed = append(doomed, i)
		return true
	})
	var hint btree.PathHint
	for _, i := range doomed {
		e.tree.DeleteHint(i, &hint)
		e.index.remove(e.index.hash(i.rec.key()), i.rec.key())
		e.recordBytes -= i.rec.size()
	}
}

// orderTail brings the whole tail into the tree. Under orderMu and mu.
func (e *Engine) orderTail() {
	e.batch = append(e.batch[:0], e.tail...)
	clear(e.tail)
	e.tail = e.tail[:0]
	e.room.Broadcast()
	e.order()
}

// order brings the batch, which is in commit order, into the tree. Under orderMu.
func (e *Engine) order() {
	slices.SortStableFunc(e.batch, func(a, b item) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
	var hint btree.PathHint
	for n, i := range e.batch {
		switch {
		case n+1 < len(e.batch) && !less(i, e.batch[n+1]):
			// Overwritten within the batch.
		case i.rec.valueLen == tombstone:
			e.tree.DeleteHint(i, &hint)
		default:
			e.tree.SetHint(i, &hint)
		}
	}
	clear(e.batch)
	e.batch = e.batch[:0]
}

// newest returns the newest commit, ordered. Under orderMu and mu.
func (e *Engine) newest() *view {
	if e.view == nil {
		e.orderTail()
		e.view = &view{tree: e.tree.Copy(), seq: e.seq.Load()}
	}
	return e.view
}

// lockAll takes orderMu and mu, and returns what lets them go.
func (e *Engine) lockAll() (unlock func()) {
	e.orderMu.Lock()
	e.mu.Lock()
	return func() {
		e.mu.Unlock()
		e.orderMu.Unlock()
	}
}

// unchanged returns ErrConflict unless all that was read at v still stands.
// Records do not change, so that the same record means the same entry. Under mu,
// and with ranges under orderMu.
func (e *Engine) unchanged(v *view, reads engine.ReadSet) error {
	if v.seq == e.seq.Load() {
		return nil
	}
	for _, key := range reads.Keys {
		then, _ := v.tree.Get(newRecord(key, nil).item())
		if then.rec != e.index.find(e.index.hash(key), key) {
			return engine.KeyError("apply-if", key, engine.ErrConflict)
		}
	}
	if len(reads.Ranges) == 0 {
		return nil
	}
	now := e.newest()
	for _, r := range reads.Ranges {
		o := engine.IterOptions{Lower: r.Lower, Upper: r.Upper}
		a, b := newIterator(v, o, nil), newIterator(now, o, nil)
		for more, other := a.First(), b.First(); more || other; more, other = a.Next(), b.Next() {
			if more != other || a.rec != b.rec {
				return fmt.Errorf("apply-if: range [%s, %s): %w", engine.QuoteKey(r.Lower), engine.QuoteKey(r.Upper), engine.ErrConflict)
			}
		}
	}
	return nil
}

// LastSequence implements engine.Sequenced.
func (e *Engine) LastSequence() uint64 { return e.seq.Load() }

// Ingest implements engine.Ingester. Readers wait while the entries are put in.
func (e *Engine) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if e.closed.Load() {
		return engine.ErrClosed
	}
	var changes []change
	var err error
	var size uint64
	for key, value := range entries {
		if n := len(changes); n&1023 == 0 {
			if err = ctx.Err(); err != nil {
				break
			}
		}
		if len(key) > engine.MaxKeyBytes || len(value) > engine.MaxValueBytes {
			err = engine.KeyError("ingest", key, engine.ErrTooLarge)
			break
		}
		r := newRecord(key, value)
		if n := len(changes); n > 0 && !less(changes[n-1].rec.item(), r.item()) {
			err = engine.KeyError("ingest", key, fmt.Errorf("%w: keys must ascend; the one before is %s", engine.ErrInvalid, engine.QuoteKey(changes[n-1].rec.key())))
			break
		}
		changes = append(changes, change{rec: r, hash: e.index.hash(key)})
		size += uint64(len(key) + len(value))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || len(changes) == 0 {
		return err
	}
	defer e.lockAll()()
	if e.closed.Load() {
		return engine.ErrClosed
	}
	e.orderTail()
	e.view = nil
	e.version.Add(1)
	for _, c := range changes {
		e.recordBytes += c.rec.size()
		if old := e.index.set(c.hash, c.rec); old != nil {
			e.recordBytes -= old.size()
		}
		e.tree.Load(c.rec.item())
	}
	e.seq.Add(1)
	e.version.Add(1)
	e.applied.Add(size)
	return nil
}

// Sync returns ErrUnsupported: there is nothing to flush to.
func (e *Engine) Sync(context.Context) error { return e.unsupported("sync") }

// Checkpoint returns ErrUnsupported.
func (e *Engine) Checkpoint(context.Context, string) error { return e.unsupported("checkpoint") }

// Compact returns ErrUnsupported: what is deleted is the garbage collector's.
func (e *Engine) Compact(context.Context, []byte, []byte) error { return e.unsupported("compact") }

func (e *Engine) unsupported(op string) error {
	if e.closed.Load() {
		return engine.ErrClosed
	}
	return fmt.Errorf("%s: %w by the memory engine", op, engine.ErrUnsupported)
}

// Metrics implements engine.Engine. Other has records and index_bytes.
func (e *Engine) Metrics() engine.Metrics {
	defer e.lockAll()()
	if e.closed.Load() {
		return engine.Metrics{}
	}
	e.orderTail()
	const itemBytes = 16 * 3 / 2 // nodes are two thirds full on average
	index := e.index.bytes()
	return engine.Metrics{
		MemoryBytes:   uint64(e.recordBytes + index + itemBytes*e.tree.Len()),
		BytesApplied:  e.applied.Load(),
		OpenIterators: e.openIterators.Load(),
		OpenSnapshots: e.openSnaps.Load(),
		Missing:       []string{"CacheHits", "CacheMisses"},
		Other:         map[string]float64{"records": float64(e.tree.Len()), "index_bytes": float64(index)},
	}
}

// Close implements engine.Engine. Open iterators and snapshots keep what they
// show in memory until they are closed.
func (e *Engine) Close() error {
	if err := e.shut(); err != nil {
		return err
	}
	e.background.Wait()
	if i, s := e.openIterators.Load(), e.openSnaps.Load(); i+s > 0 {
		return fmt.Errorf("close: %w: %d iterators and %d snapshots are open", engine.ErrInUse, i, s)
	}
	return nil
}

// shut lets no further call in and forgets the data.
func (e *Engine) shut() error {
	defer e.lockAll()()
	if e.closed.Swap(true) {
		return engine.ErrClosed
	}
	e.version.Add(1)
	e.index.empty()
	e.version.Add(1)
	e.tree, e.tail, e.view, e.names = nil, nil, nil, nil
	e.room.Broadcast()
	return nil
}
