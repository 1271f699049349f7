package lsm

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/orbit-persistence/orbit/engine"
)

// All families are in one tree: before each key stands the number of its family, as a
// uvarint, so that none is the beginning of another.

// family is a family of the store.
type family struct {
	id   engine.FamilyID
	name string
}

const (
	defaultFamily = "default"
	// maxPrefix is the longest number of a family.
	maxPrefix = binary.MaxVarintLen32
	// shortKey is the length up to which a prefixed key needs no memory of the heap.
	shortKey = 120
)

// appendPrefix appends what stands before the keys of a family.
func appendPrefix(out []byte, f engine.FamilyID) []byte {
	if f == 0 {
		return append(out, 0)
	}
	return binary.AppendUvarint(out, uint64(f))
}

// cutPrefix returns the family of a key, and the key in it.
func cutPrefix(key []byte) (engine.FamilyID, []byte, bool) {
	u, w := binary.Uvarint(key)
	if w <= 0 || u > 1<<32-1 {
		return 0, nil, false
	}
	return engine.FamilyID(u), key[w:], true
}

// quotePrefixed quotes a key, or the beginning of one, without the number of its family.
func quotePrefixed(key []byte) string {
	f, rest, ok := cutPrefix(key)
	switch {
	case !ok:
		return engine.QuoteKey(key)
	case f == 0:
		return engine.QuoteKey(rest)
	}
	return fmt.Sprintf("%s of family %d", engine.QuoteKey(rest), f)
}

// successor returns the first key that does not begin with a prefix, which is not all
// 0xff.
func successor(prefix []byte) []byte {
	out := append([]byte{}, prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

// CreateFamily implements engine.FamilyStore.
func (e *Engine) CreateFamily(ctx context.Context, name string) (engine.FamilyID, error) {
	if err := e.enter(); err != nil {
		return 0, err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch name {
	case "":
		return 0, fmt.Errorf("create family: %w: the empty name", engine.ErrInvalid)
	case defaultFamily:
		return 0, nil
	}
	e.installing.Lock()
	defer e.installing.Unlock()
	e.mu.Lock()
	id, ok := e.families[name]
	failed := e.failed
	e.mu.Unlock()
	switch {
	case ok:
		return id, nil
	case failed != nil:
		return 0, failed
	case len(name) > engine.MaxKeyBytes:
		return 0, fmt.Errorf("create family: %w: a name of %d bytes; the limit is %d", engine.ErrTooLarge, len(name), engine.MaxKeyBytes)
	}
	id = e.nextFamily
	if err := e.record(&edit{families: []family{{id, name}}, nextFamily: id + 1}); err != nil {
		return 0, fmt.Errorf("create family %q: %w", name, e.judge(err))
	}
	e.nextFamily++
	e.mu.Lock()
	e.families[name], e.known[id] = id, true
	e.mu.Unlock()
	return id, nil
}

// DropFamily implements engine.FamilyStore. The family is gone when the manifest says so.
// What it held is deleted by a tombstone; should that be lost, it is made again when the
// store is opened.
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
	e.installing.Lock()
	id, err := e.dropName(name)
	e.installing.Unlock()
	if err == nil {
		err = e.clear(id)
	}
	if err != nil {
		return fmt.Errorf("drop family %q: %w", name, err)
	}
	return nil
}

func (e *Engine) dropName(name string) (engine.FamilyID, error) {
	e.lockCommits()
	defer e.mu.Unlock()
	id, ok := e.families[name]
	if !ok {
		return 0, engine.ErrNotFound
	}
	if e.failed != nil {
		return 0, e.failed
	}
	// Commits wait meanwhile: none to the family may come behind this.
	if err := e.record(&edit{noFamilies: []engine.FamilyID{id}}); err != nil {
		if !harmless(err) {
			err = e.fail(err)
		}
		return 0, err
	}
	delete(e.families, name)
	delete(e.known, id)
	e.clearing[id] = true
	return id, nil
}

// clear deletes what a family held that was dropped.
func (e *Engine) clear(id engine.FamilyID) error {
	prefix := appendPrefix(nil, id)
	e.lockCommits()
	defer e.mu.Unlock()
	return e.commitRange(prefix, successor(prefix))
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
	return r.e.getIn(r.family, key, dst, latest)
}

// NewIterator implements engine.Reader.
func (r *familyReader) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return r.e.iterate(r.family, o, latest)
}
