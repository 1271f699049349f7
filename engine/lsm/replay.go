package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// replayLog is what the log is read with: it adds records that are in no table, and what it
// has kept back when the last one was read.
func (e *Engine) replayLog() (take func(wal.Record) error, rest func() error) {
	group := replayGroup{near: e.near, add: e.replayBatch}
	take = func(r wal.Record) error {
		if len(r.Payload) == 0 || r.Payload[0] != recordNoBatch {
			return group.take(r.Sequence, r.Payload)
		}
		if err := group.flush(); err != nil {
			return err
		}
		if err := e.replayOther(r); err != nil {
			return fmt.Errorf("record %d of the log: %w", r.Sequence, err)
		}
		return nil
	}
	return take, group.flush
}

// near asks for the memory that keys will come to.
func (e *Engine) near(ops []engine.Op) {
	m := e.state.Load().mem
	root := ref(m.trie.load(rootSlot))
	g := lookupsPool.Get().(*lookups)
	defer lookupsPool.Put(g)
	g.near, g.keys = g.near[:0], g.keys[:0]
	for i, op := range ops {
		start := len(g.keys)
		g.keys = append(appendPrefix(g.keys, op.Family), op.Key...)
		key := g.keys[start:]
		m.filter.prefetch(hashOf(key))
		g.each[i] = lookup{key: key, node: root}
		g.near = append(g.near, &g.each[i])
	}
	m.trie.descend(g.near)
	clear(g.each[:])
}

func (e *Engine) replayBatch(b *engine.Batch, sequence uint64) error {
	if err := e.makeRoom(batchNeed(b)); err != nil {
		return err
	}
	e.visible.Store(e.addBatch(e.state.Load().mem, b, sequence))
	return nil
}

// makeRoom makes room in the memtable while the log is replayed. What is in memory then
// is bounded: no more is written to tables than the log was allowed to grow to.
func (e *Engine) makeRoom(need int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.state.Load()
	m := st.mem
	if !m.full(e.options.MemtableBytes, need) {
		return nil
	}
	if m.empty() {
		return e.replaceMemtable(st, need)
	}
	if len(st.queue) >= e.options.MaxMemtables-1 {
		e.mu.Unlock()
		_, err := e.flushOldest(context.Background())
		e.mu.Lock()
		if err != nil {
			return err
		}
	}
	return e.rotate(need)
}

func (e *Engine) replayOther(r wal.Record) error {
	p := r.Payload[1:]
	if len(p) == 0 {
		return fmt.Errorf("%w: it is empty", engine.ErrCorrupt)
	}
	switch kind := p[0]; kind {
	case recordClear:
		lower, rest, ok := cutBytes(p[1:])
		upper, rest, ok2 := cutBytes(rest)
		if !ok || !ok2 || len(rest) != 0 || bytes.Compare(lower, upper) >= 0 {
			return fmt.Errorf("%w: a range of %d bytes", engine.ErrCorrupt, len(p))
		}
		if err := e.makeRoom(0); err != nil {
			return err
		}
		version := e.visible.Load() + 1
		m := e.state.Load().mem
		m.deleteRange(lower, upper, version, version-1, nil)
		m.sequence = r.Sequence
		e.visible.Store(version)
		return nil
	case recordIngest:
		return e.replayIngest(p[1:], r.Sequence)
	default:
		return fmt.Errorf("%w: of kind %d; a newer version of this program may have written it", engine.ErrCorrupt, kind)
	}
}

func cutBytes(p []byte) (b, rest []byte, ok bool) {
	n, w := binary.Uvarint(p)
	if w <= 0 || n > uint64(len(p)-w) {
		return nil, nil, false
	}
	return bytes.Clone(p[w : w+int(n)]), p[w+int(n):], true
}
