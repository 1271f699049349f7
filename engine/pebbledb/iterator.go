package pebbledb

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

type iterator struct {
	life *lifetime.Lifetime
	from *pebble.Iterator
	// on is whether it stands on an entry.
	on       bool
	keysOnly bool
	closed   bool
	// err is the outcome, kept for calls after Close.
	err error
}

// emptyBound as both bounds leaves nothing between them.
var emptyBound = []byte{0}

// boundsOf returns o for Pebble. NewIter copies them.
func boundsOf(o engine.IterOptions) pebble.IterOptions {
	bounds := pebble.IterOptions{LowerBound: o.Lower, UpperBound: o.Upper}
	if o.Upper != nil && bytes.Compare(o.Lower, o.Upper) >= 0 {
		// Pebble wants bounds in order, and takes an empty upper one for none.
		bounds.LowerBound, bounds.UpperBound = emptyBound, emptyBound
	}
	if len(bounds.LowerBound) == 0 {
		bounds.LowerBound = nil // as in SeekGE
	}
	return bounds
}

// newIterator takes over what NewIter returned, while the engine or a snapshot
// of it is held.
func newIterator(life *lifetime.Lifetime, from *pebble.Iterator, err error, o engine.IterOptions) (engine.Iterator, error) {
	if err != nil {
		return nil, wrap("new iterator", err)
	}
	life.Hold(lifetime.Iterator)
	return &iterator{life: life, from: from, keysOnly: o.KeysOnly}, nil
}

// First moves to the first entry.
func (i *iterator) First() bool {
	i.on = !i.closed && i.from.First()
	return i.on
}

// Last moves to the last entry.
func (i *iterator) Last() bool {
	i.on = !i.closed && i.from.Last()
	return i.on
}

// SeekGE moves to the first entry at or after key.
func (i *iterator) SeekGE(key []byte) bool {
	if len(key) == 0 {
		return i.First() // with the race detector, Pebble takes no empty key
	}
	i.on = !i.closed && i.from.SeekGE(key)
	return i.on
}

// SeekLT moves to the last entry before key.
func (i *iterator) SeekLT(key []byte) bool {
	if len(key) == 0 {
		i.on = false // there is none before it
		return false
	}
	i.on = !i.closed && i.from.SeekLT(key)
	return i.on
}

// Next moves to the next entry.
func (i *iterator) Next() bool {
	i.on = i.on && i.from.Next()
	return i.on
}

// Prev moves to the entry before.
func (i *iterator) Prev() bool {
	i.on = i.on && i.from.Prev()
	return i.on
}

// Key returns the current key.
func (i *iterator) Key() []byte {
	if !i.on {
		return nil
	}
	if key := i.from.Key(); key != nil {
		return key
	}
	return []byte{}
}

// Value returns the current value.
func (i *iterator) Value() ([]byte, error) {
	if !i.on || i.keysOnly {
		return nil, i.noValue()
	}
	value, err := i.from.ValueAndErr()
	if err != nil {
		i.err = engine.KeyError("value", i.from.Key(), translate(err))
		i.on = false
		return nil, i.err
	}
	return value, nil
}

func (i *iterator) noValue() error {
	if i.keysOnly {
		return fmt.Errorf("value: %w: the iterator was opened for keys only", engine.ErrUnsupported)
	}
	return engine.ErrNotFound
}

// Err returns the first error met.
func (i *iterator) Err() error {
	if i.err == nil && !i.closed {
		i.err = wrap("iterate", i.from.Error())
	}
	return i.err
}

// Close releases the iterator.
func (i *iterator) Close() error {
	if i.closed {
		return engine.ErrClosed
	}
	err := i.Err()
	i.closed, i.on = true, false
	if closeErr := i.from.Close(); err == nil {
		err = wrap("close iterator", closeErr)
	}
	i.from, i.err = nil, err
	if dropErr := i.life.Drop(lifetime.Iterator); err == nil {
		err = dropErr
	}
	return err
}
