package flash

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// iterator walks a family in a state that it holds.
type iterator struct {
	e       *Engine
	options engine.IterOptions
	// lower and upper bound the keys, with the number of their family, which has family
	// bytes.
	lower, upper []byte
	family       int
	cursor       cursor
	at           uint64 // the record whose state is held
	key          []byte
	seek         []byte
	err          error
	closed       bool

	// values were read ahead: those of the entry that it stands on, and of those that
	// follow in the direction of the walk. Those that were cached are in memory.
	values  []wanted
	read    []wanted // what values is a part of
	memory  []byte
	names   []byte // the keys of values
	ahead   cursor
	window  int
	forward bool
}

// NewIterator implements engine.Reader.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return e.iterate(0, o, nil)
}

// iterate returns an iterator over a family in a snapshot, or in the newest state.
func (e *Engine) iterate(f engine.FamilyID, o engine.IterOptions, s *snapshot) (engine.Iterator, error) {
	if s == nil {
		if err := e.enter(); err != nil {
			return nil, err
		}
		defer e.life.Exit()
	}
	e.life.Hold(lifetime.Iterator)
	prefix := appendPrefix(nil, f)
	it := &iterator{e: e, options: o, family: len(prefix)}
	it.lower = append(append([]byte{}, prefix...), o.Lower...)
	it.upper = successor(prefix)
	if o.Upper != nil {
		it.upper = append(append([]byte{}, prefix...), o.Upper...)
	}
	it.options.Lower, it.options.Upper = nil, nil
	e.lockCommits()
	it.cursor.root, it.at = e.hold()
	if s != nil {
		// The snapshot's state is older; it holds the same segments as long as it is open.
		e.unhold(it.at)
		it.cursor.root, it.at = s.state, s.at
		e.holdAt(s.at)
	}
	e.mu.Unlock()
	return it, nil
}

// stop makes the iterator stand nowhere.
func (it *iterator) stop() bool {
	it.key = it.key[:0]
	it.cursor.leaf = nil
	it.values = it.values[:0]
	return false
}

// land ends a move: ok tells whether the cursor stands on something.
func (it *iterator) land(ok bool) bool {
	if !ok {
		return it.stop()
	}
	it.key = it.cursor.appendKey(it.key[:0])
	if bytes.Compare(it.key, it.lower) < 0 || bytes.Compare(it.key, it.upper) >= 0 {
		return it.stop()
	}
	return true
}

// jump begins a move from anywhere.
func (it *iterator) jump() bool {
	it.values, it.window = it.values[:0], 0
	return it.err == nil && !it.closed
}

// First implements engine.Iterator.
func (it *iterator) First() bool {
	return it.jump() && it.land(it.cursor.seekGE(it.lower)) || it.nowhere()
}

func (it *iterator) nowhere() bool {
	if it.cursor.leaf == nil || it.err != nil || it.closed {
		it.stop()
	}
	return false
}

// Last implements engine.Iterator.
func (it *iterator) Last() bool {
	return it.jump() && it.land(it.cursor.seekLT(it.upper)) || it.nowhere()
}

// SeekGE implements engine.Iterator.
func (it *iterator) SeekGE(key []byte) bool {
	if !it.jump() {
		return it.nowhere()
	}
	it.seek = append(append(it.seek[:0], it.lower[:it.family]...), key...)
	if bytes.Compare(it.seek, it.lower) < 0 {
		it.seek = append(it.seek[:0], it.lower...)
	}
	return it.land(it.cursor.seekGE(it.seek))
}

// SeekLT implements engine.Iterator.
func (it *iterator) SeekLT(key []byte) bool {
	if !it.jump() {
		return it.nowhere()
	}
	it.seek = append(append(it.seek[:0], it.lower[:it.family]...), key...)
	if bytes.Compare(it.seek, it.upper) > 0 {
		it.seek = append(it.seek[:0], it.upper...)
	}
	return it.land(it.cursor.seekLT(it.seek))
}

// Next implements engine.Iterator.
func (it *iterator) Next() bool { return it.move(true) }

// Prev implements engine.Iterator.
func (it *iterator) Prev() bool { return it.move(false) }

func (it *iterator) move(forward bool) bool {
	if it.err != nil || it.closed || !it.cursor.valid() {
		return it.nowhere()
	}
	if it.forward != forward {
		it.values, it.window, it.forward = it.values[:0], 0, forward
	} else if len(it.values) > 0 {
		it.values = it.values[1:]
	}
	if forward {
		return it.land(it.cursor.next())
	}
	return it.land(it.cursor.prev())
}

// Key implements engine.Iterator.
func (it *iterator) Key() []byte {
	if !it.cursor.valid() || it.closed {
		return nil
	}
	return it.key[it.family:]
}

// Value implements engine.Iterator. The values that follow are read with it, the more the
// longer the walk goes on.
func (it *iterator) Value() ([]byte, error) {
	switch {
	case it.closed:
		return nil, engine.ErrClosed
	case it.err != nil:
		return nil, it.err
	case !it.cursor.valid():
		return nil, engine.ErrNotFound
	case it.options.KeysOnly:
		return nil, fmt.Errorf("value of %s: %w: the iterator is of keys only", engine.QuoteKey(it.Key()), engine.ErrUnsupported)
	}
	if len(it.values) == 0 {
		it.readAhead()
	}
	w := &it.values[0]
	if w.err != nil {
		it.err = engine.KeyError("iterate", it.Key(), w.err)
		return nil, it.err
	}
	return w.value, nil
}

// leastWindow is how many values are read at a time by a walk that has begun.
const leastWindow = 8

// readAhead reads the value on which the iterator stands, and those that follow.
func (it *iterator) readAhead() {
	switch {
	case it.window == 0:
		it.window = 1 // who seeks may want one value alone
	case it.window < leastWindow:
		it.window = leastWindow
	default:
		it.window = min(2*it.window, 4*it.e.options.IODepth)
	}
	it.read = slices.Grow(it.read[:0], it.window)
	it.cursor.copyTo(&it.ahead)
	c := &it.ahead
	it.names = slices.Grow(it.names[:0], (it.window-1)*len(it.key))
	key := it.key
	total := 0
	for n := 0; n < it.window && total < 4<<20; n++ {
		if n > 0 {
			ok := false
			if it.forward || it.window == 1 {
				ok = c.next()
			} else {
				ok = c.prev()
			}
			if !ok {
				break
			}
			from := len(it.names)
			it.names = c.appendKey(it.names)
			key = it.names[from:]
			if bytes.Compare(key, it.lower) < 0 || bytes.Compare(key, it.upper) >= 0 {
				break
			}
		}
		w := want(key, c.location())
		total += w.at.bytes()
		it.read = append(it.read, w)
	}
	// Values that are packed take more.
	it.memory = it.e.readMany(it.read, slices.Grow(it.memory[:0], min(total, 64<<10)))
	it.values = it.read
}

// Err implements engine.Iterator.
func (it *iterator) Err() error { return it.err }

// Close implements engine.Iterator.
func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.closed = true
	it.e.mu.Lock()
	it.e.unhold(it.at)
	it.e.mu.Unlock()
	it.cursor, it.ahead, it.values, it.read, it.memory, it.names = cursor{}, cursor{}, nil, nil, nil, nil
	if err := it.e.life.Drop(lifetime.Iterator); err != nil && it.err == nil {
		return err
	}
	return it.err
}
