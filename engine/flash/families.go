package flash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// CreateFamily implements engine.FamilyStore.
func (e *Engine) CreateFamily(ctx context.Context, name string) (engine.FamilyID, error) {
	if err := e.enter(); err != nil {
		return 0, err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch {
	case name == "":
		return 0, fmt.Errorf("create family: %w: the empty name", engine.ErrInvalid)
	case name == defaultFamily:
		return 0, nil
	case len(name) > engine.MaxKeyBytes:
		return 0, fmt.Errorf("create family: %w: a name of %d bytes; the limit is %d", engine.ErrTooLarge, len(name), engine.MaxKeyBytes)
	}
	e.lockCommits()
	id, known := e.families[name]
	sequence := e.applied // a family that is there may not be durable yet
	var err error
	if !known {
		id = e.nextFamily
		payload := append(binary.AppendUvarint([]byte{recordOther, recordFamily}, uint64(id)), name...)
		sequence, err = e.logFamily(ctx, payload)
	}
	e.mu.Unlock()
	if err == nil {
		err = e.judge(e.log.Flush(sequence))
	}
	if err != nil {
		return 0, fmt.Errorf("create family %q: %w", name, err)
	}
	return id, nil
}

// DropFamily implements engine.FamilyStore. What the family held goes with the same
// record of the log.
func (e *Engine) DropFamily(ctx context.Context, name string) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if name == defaultFamily || name == "" {
		return fmt.Errorf("drop family %q: %w: it cannot be dropped", name, engine.ErrInvalid)
	}
	e.lockCommits()
	id, known := e.families[name]
	err := engine.ErrNotFound
	var sequence uint64
	if known {
		sequence, err = e.logFamily(ctx, binary.AppendUvarint([]byte{recordOther, recordNoFamily}, uint64(id)))
	}
	e.mu.Unlock()
	if err == nil {
		err = e.judge(e.log.Flush(sequence))
	}
	if err != nil {
		return fmt.Errorf("drop family %q: %w", name, err)
	}
	e.work()
	return nil
}

// logFamily logs a record of a family, and does what it says. Under mu.
func (e *Engine) logFamily(ctx context.Context, payload []byte) (uint64, error) {
	if e.failed != nil {
		return 0, e.failed
	}
	sequence, at, err := e.log.AppendAt(ctx, payload, engine.Flushed)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return 0, err
	}
	return sequence, e.addFamily(payload, at, sequence)
}

// addFamily does what a record of a family says. Under mu.
func (e *Engine) addFamily(payload []byte, at wal.Place, sequence uint64) error {
	number, next, ok := uvarintAt(payload, 2)
	if !ok || number == 0 || number >= 1<<32-1 {
		return badRecord(2, "no number of a family")
	}
	id := engine.FamilyID(number)
	e.segmentAt(at)
	if payload[1] == recordFamily {
		e.families[string(payload[next:])], e.known[id] = id, true
		e.nextFamily = max(e.nextFamily, id+1)
		e.appliedRecord(sequence, len(payload))
		return nil
	}
	for name, known := range e.families {
		if known == id {
			delete(e.families, name)
		}
	}
	delete(e.known, id)
	prefix := appendPrefix(nil, id)
	var changes changing
	r := e.index.change(true)
	r = e.index.deleteRange(r, prefix, successor(prefix), func(key []byte, l location) {
		e.drop(len(key), l)
		e.changes(&changes, key)
	})
	e.cache.change(changes, func() { e.index.publish(r) })
	e.appliedRecord(sequence, len(payload))
	return nil
}

// Families implements engine.FamilyStore.
func (e *Engine) Families() (map[string]engine.FamilyID, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.mu.Lock()
	defer e.mu.Unlock()
	out := maps.Clone(e.families)
	out[defaultFamily] = 0
	return out, nil
}

// In implements engine.FamilyReader.
func (e *Engine) In(f engine.FamilyID) (engine.Reader, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	if err := e.knows(f); err != nil {
		return nil, err
	}
	return &familyReader{e: e, family: f}, nil
}

func (e *Engine) knows(f engine.FamilyID) error {
	if f == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.known[f] {
		return fmt.Errorf("%w: family %d", engine.ErrNotFound, f)
	}
	return nil
}

// familyReader reads one family of the newest state.
type familyReader struct {
	e      *Engine
	family engine.FamilyID
}

// Get implements engine.Reader.
func (r *familyReader) Get(key, dst []byte) ([]byte, error) {
	return r.e.getIn(r.family, key, dst, nil)
}

// NewIterator implements engine.Reader.
func (r *familyReader) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return r.e.iterate(r.family, o, nil)
}
