package flash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// lockCommits locks mu: a mutex with a queue would hand itself to sleepers.
func (e *Engine) lockCommits() {
	for range 16 {
		if e.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	e.mu.Lock()
}

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.apply(ctx, b, d, nil)
}

// apply is Apply, if check, which is called when nothing else commits, has nothing
// against it.
func (e *Engine) apply(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := engine.CheckDurability(traits.Durability, d); err != nil {
		return err
	}
	if err := traits.Limits.Check(b); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.Count() == 0 && check == nil {
		return e.applyNothing(d)
	}
	z := encoders.Get().(*encoder)
	defer z.giveBack()
	payload, packed, err := z.encode(b, e.options.Compression, &e.tries)
	if err != nil {
		return err
	}
	sequence, err := e.commit(ctx, b, payload, packed, d, check)
	if err != nil {
		return err
	}
	e.work()
	switch {
	case sequence == 0:
		return e.applyNothing(d)
	case d == engine.Flushed:
		return e.judge(e.log.Flush(sequence))
	}
	return nil
}

// applyNothing makes what was committed as durable as d says.
func (e *Engine) applyNothing(d engine.Durability) error {
	e.mu.Lock()
	err := e.failed
	e.mu.Unlock()
	if err != nil || d != engine.Flushed {
		return err
	}
	return e.judge(e.log.Sync())
}

// commit gives a batch its place in the log, and brings it into sight.
func (e *Engine) commit(ctx context.Context, b *engine.Batch, payload []byte, packed bool, d engine.Durability, check func() error) (sequence uint64, err error) {
	e.lockCommits()
	defer e.mu.Unlock()
	if err := e.writable(ctx); err != nil {
		return 0, err
	}
	if check != nil {
		if err := check(); err != nil || b.Count() == 0 {
			return 0, err
		}
	}
	if b.UsesFamilies() {
		for op := range b.Ops() {
			if op.Family != 0 && !e.known[op.Family] {
				return 0, engine.KeyError(op.Kind.String(), op.Key, fmt.Errorf("%w: family %d", engine.ErrNotFound, op.Family))
			}
		}
	}
	sequence, at, err := e.log.AppendAt(ctx, payload, d)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return 0, err
	}
	if err := e.addBatch(payload, packed, manyChanges(b), at, sequence); err != nil {
		return 0, e.fail(err) // cannot be: it was encoded just now; a part of it is in the index
	}
	e.visible.Store(sequence)
	b.SetSequence(sequence)
	e.counters.applied.Add(uint64(b.Size()))
	e.cacheBatch(b, payload, packed, at)
	return sequence, nil
}

// manyChanges reports whether a batch may change more than one key.
func manyChanges(b *engine.Batch) bool {
	if b.Count() > 1 {
		return true
	}
	for op := range b.Ops() {
		return op.Kind == engine.OpDeleteRange
	}
	return false
}

// cacheBatch caches the value of a batch of one. Those of a large one would push out what
// is read. Under mu.
func (e *Engine) cacheBatch(b *engine.Batch, payload []byte, packed bool, at wal.Place) {
	if b.Count() != 1 || !e.cache.on() {
		return
	}
	for op := range b.Ops() {
		if op.Kind != engine.OpPut {
			return
		}
		start := 0
		if packed {
			start = 2
		}
		if o, _, err := nextOperation(payload, start, packed); err == nil && len(o.value) > 0 {
			var buf [shortKey + maxPrefix]byte
			k := cachedAs(append(appendPrefix(buf[:0], op.Family), op.Key...))
			e.cache.current(&k)
			e.cache.put(&k, uint64(uint32(at.Segment))<<32|uint64(uint32(at.Offset)+uint32(o.at)), op.Value)
		}
	}
}

// writable returns when a commit may go on, or why nothing can be written. Under mu.
func (e *Engine) writable(ctx context.Context) error {
	if e.failed != nil {
		return e.failed
	}
	if !e.behind || e.options.Inline {
		return ctx.Err()
	}
	begin := time.Now()
	e.counters.stalls.Add(1)
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		e.changed.Broadcast()
		e.mu.Unlock()
	})
	defer stop()
	for e.behind && e.failed == nil && e.trouble == nil && ctx.Err() == nil {
		e.background.wake()
		e.changed.Wait()
	}
	e.counters.stallTime.Add(int64(time.Since(begin)))
	if e.failed != nil {
		return e.failed
	}
	return ctx.Err()
}

// prefix and key of the index: before each key stands the number of its family, as a
// uvarint, so that none is the beginning of another.
const (
	defaultFamily = "default"
	maxPrefix     = binary.MaxVarintLen32
	shortKey      = 120
)

func appendPrefix(out []byte, f engine.FamilyID) []byte {
	if f == 0 {
		return append(out, 0)
	}
	return binary.AppendUvarint(out, uint64(f))
}

// successor returns the first key that does not begin with the prefix of a family.
func successor(prefix []byte) []byte {
	out := append([]byte{}, prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

// addBatch brings a batch of the log into the index; many says that it may change more than
// one key, and readers are to see all of it at once. Under mu.
func (e *Engine) addBatch(payload []byte, packed, many bool, at wal.Place, sequence uint64) error {
	next := 0
	if packed {
		next = 2
	}
	c := &e.batch
	c.s, c.at, c.alone = e.segmentAt(at), at, !many && e.cache.on()
	c.r = e.index.change(many)
	defer c.reset()
	for next < len(payload) {
		n, err := c.read(payload, next, packed)
		if err != nil {
			return err
		}
		e.applyChange(c)
		next = n
	}
	e.cache.change(c.changes, func() { e.index.publish(c.r) })
	e.appliedRecord(sequence, len(payload))
	return nil
}

// batchChange is a batch on its way into the index, some operations at a time. There is one,
// guarded by mu, so that a commit of one operation does not clear what many need.
type batchChange struct {
	s  *segment
	at wal.Place
	r  *root
	// alone says that each operation comes into sight by itself, and the cache is on.
	alone   bool
	changes changing

	n      int
	ops    [together]operation
	names  []byte           // memory of keys
	keys   [together][]byte // with the numbers of their families
	leaves [together]*leaf
}

// reset lets go of what the change refers to, but for the memory of its keys.
func (c *batchChange) reset() {
	for i := range c.ops {
		if c.keys[i] == nil {
			break // no part had more
		}
		c.ops[i], c.keys[i], c.leaves[i] = operation{}, nil, nil
	}
	c.s, c.r, c.changes = nil, nil, nil
}

// read takes operations that begin at an offset, and returns where the next ones do.
func (c *batchChange) read(payload []byte, next int, packed bool) (int, error) {
	c.names = c.names[:0]
	var ends [together]int
	for c.n = 0; c.n < together && next < len(payload); c.n++ {
		o, n, err := nextOperation(payload, next, packed)
		if err != nil {
			return 0, err
		}
		c.names = append(appendPrefix(c.names, o.family), o.key...)
		c.ops[c.n], ends[c.n], next = o, len(c.names), n
	}
	from := 0
	for i := range c.n {
		c.keys[i] = c.names[from:ends[i]:ends[i]]
		from = ends[i]
	}
	return next, nil
}

// applyChange brings what was read into the index. Under mu.
func (e *Engine) applyChange(c *batchChange) {
	if c.n > 1 {
		c.r.leavesOf(c.keys[:c.n], &c.leaves)
	} else {
		c.leaves[0] = nil // it may be that of a key before
	}
	for i := range c.n {
		o, key := &c.ops[i], c.keys[i]
		var old location
		var had bool
		var hash uint64
		var shard *cacheShard
		if c.alone {
			hash = hashOf(key)
			shard = e.cache.hold(hash)
		}
		switch o.kind {
		case engine.OpPut:
			l := o.location(c.s.id, c.at.Offset)
			e.use(c.s, len(key), l)
			c.r, old, had = e.index.put(c.r, c.leaves[i], key, l)
		case engine.OpDelete:
			c.r, old, had = e.index.delete(c.r, key)
		case engine.OpDeleteRange:
			upper := append(appendPrefix(nil, o.family), o.value...)
			c.r = e.index.deleteRange(c.r, key, upper, func(key []byte, l location) {
				e.drop(len(key), l)
				e.changes(&c.changes, key)
			})
		}
		if shard != nil {
			e.index.publish(c.r)
			shard.let(hash)
		} else if had {
			e.changes(&c.changes, key)
		}
		if had {
			e.drop(len(key), old)
		}
	}
}

// changes notes that the value of a key is replaced or removed.
func (e *Engine) changes(g *changing, key []byte) {
	if e.cache.on() {
		g.add(hashOf(key))
	}
}

// appliedRecord notes that a record of the log is in the index. Under mu.
func (e *Engine) appliedRecord(sequence uint64, bytes int) {
	e.applied = sequence
	e.logged += int64(bytes) + 16
}

// Sync implements engine.Engine.
func (e *Engine) Sync(ctx context.Context) error {
	return e.Apply(ctx, new(engine.Batch), engine.Flushed)
}
