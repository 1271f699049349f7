package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// load is a bulk load of which the log has parts that are not in sight yet.
type load struct {
	entries []entry
}

// partOfLoad is about the size of the parts of a bulk load in the log.
const partOfLoad = 256 << 10

// Ingest implements engine.Ingester. The entries are logged in parts while commits go on;
// they come into sight, and have their place in the order of commits, by one record
// behind them.
func (e *Engine) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := e.ingest(ctx, entries); err != nil {
		return fmt.Errorf("ingest: %w", e.judge(err))
	}
	return nil
}

func (e *Engine) ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A checkpoint would have to tell of parts whose load it has not seen the end of.
	e.checkpointing.Lock()
	in := loading{e: e, ctx: ctx}
	sequence, err := in.run(entries)
	e.checkpointing.Unlock()
	if err != nil || sequence == 0 {
		return err
	}
	e.work()
	return e.log.Flush(sequence)
}

// loading is a bulk load under way.
type loading struct {
	e     *Engine
	ctx   context.Context
	first uint64 // the record of the first part
	part  []byte
	value []byte
	last  []byte
	size  uint64
}

func (in *loading) run(entries iter.Seq2[[]byte, []byte]) (sequence uint64, err error) {
	defer func() {
		if err != nil && in.first != 0 {
			in.e.mu.Lock()
			in.e.abandon(in.e.loads[in.first])
			delete(in.e.loads, in.first)
			in.e.mu.Unlock()
		}
	}()
	n := 0
	for key, value := range entries {
		switch {
		case len(key) > engine.MaxKeyBytes || len(value) > engine.MaxValueBytes:
			return 0, engine.KeyError("put", key, engine.ErrTooLarge)
		case n > 0 && bytes.Compare(in.last, key) >= 0:
			return 0, engine.KeyError("put", key, fmt.Errorf("%w: keys must ascend; the one before is %s", engine.ErrInvalid, engine.QuoteKey(in.last)))
		}
		in.last = append(in.last[:0], key...)
		if len(in.part) == 0 {
			in.part = append(in.part, make([]byte, partHead)...)
		}
		op := engine.Op{Kind: engine.OpPut, Key: key, Value: value}
		if in.part, in.value, _, err = appendOperation(in.part, in.value, op, in.e.options.Compression); err != nil {
			return 0, err
		}
		in.size += uint64(len(key) + len(value))
		n++
		if len(in.part) >= partOfLoad {
			if err := in.write(); err != nil {
				return 0, err
			}
		}
	}
	if err := in.ctx.Err(); err != nil {
		return 0, err
	}
	if len(in.part) > 0 {
		if err := in.write(); err != nil {
			return 0, err
		}
	}
	if in.first == 0 {
		return 0, nil
	}
	return in.show()
}

// partHead is how a part begins: the two bytes of its kind, and the record of the first
// part, 0 in that one itself.
const partHead = 2 + 8

// write logs a part.
func (in *loading) write() error {
	in.part[0], in.part[1] = recordOther, recordPart
	binary.LittleEndian.PutUint64(in.part[2:], in.first)
	_, err := in.append(in.part)
	in.part = in.part[:0]
	return err
}

func (in *loading) append(payload []byte) (uint64, error) {
	e := in.e
	e.lockCommits()
	defer e.mu.Unlock()
	// It does not wait for cleaning, which may wait for the checkpoint that a load keeps off.
	if e.failed != nil {
		return 0, e.failed
	}
	sequence, at, err := e.log.AppendAt(in.ctx, payload, engine.Buffered)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return 0, err
	}
	if payload[1] == recordPart {
		if in.first == 0 {
			in.first = sequence
		}
		return sequence, e.addPart(payload, at, sequence)
	}
	return sequence, e.addLoad(payload, at, sequence)
}

// show brings what was loaded into sight.
func (in *loading) show() (uint64, error) {
	sequence, err := in.append(binary.LittleEndian.AppendUint64([]byte{recordOther, recordLoad}, in.first))
	if err == nil {
		in.e.counters.applied.Add(in.size)
	}
	return sequence, err
}

// addPart keeps a part of a bulk load. Under mu.
func (e *Engine) addPart(payload []byte, at wal.Place, sequence uint64) error {
	if len(payload) < partHead {
		return badRecord(len(payload), "no part of a bulk load")
	}
	s := e.segmentAt(at)
	first := binary.LittleEndian.Uint64(payload[2:])
	if first == 0 {
		first = sequence
		e.loads[first] = &load{}
	}
	l := e.loads[first]
	for next := partHead; next < len(payload); {
		o, n, err := nextOperation(payload, next, true)
		if err != nil {
			return err
		}
		next = n
		if o.kind != engine.OpPut || l == nil {
			return badRecord(n, "a bulk load that has not begun")
		}
		x := entry{append(appendPrefix(nil, o.family), o.key...), o.location(s.id, at.Offset)}
		e.use(s, len(x.key), x.at)
		l.entries = append(l.entries, x)
	}
	e.appliedRecord(sequence, len(payload))
	return nil
}

// addLoad brings a bulk load into sight. Under mu.
func (e *Engine) addLoad(payload []byte, at wal.Place, sequence uint64) error {
	if len(payload) != partHead {
		return badRecord(len(payload), "no bulk load")
	}
	first := binary.LittleEndian.Uint64(payload[2:])
	l := e.loads[first]
	if l == nil {
		return badRecord(2, "a bulk load that has not begun")
	}
	e.segmentAt(at)
	var changes changing
	r := e.index.change(true)
	for _, x := range l.entries {
		var old location
		var had bool
		if r, old, had = e.index.put(r, nil, x.key, x.at); had {
			e.drop(len(x.key), old)
			e.changes(&changes, x.key)
		}
	}
	e.cache.change(changes, func() { e.index.publish(r) })
	delete(e.loads, first)
	e.appliedRecord(sequence, len(payload))
	e.visible.Store(sequence)
	return nil
}

// abandon gives up the space of a bulk load that has not come to its end. Under mu.
func (e *Engine) abandon(l *load) {
	if l == nil {
		return
	}
	for _, x := range l.entries {
		e.drop(len(x.key), x.at)
	}
	l.entries = nil
}
