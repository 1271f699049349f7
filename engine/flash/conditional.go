package flash

import (
	"bytes"
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// ApplyIf implements engine.Conditional.
func (e *Engine) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	s, ok := at.(*snapshot)
	if !ok || s.e != e {
		return fmt.Errorf("apply if: %w: the snapshot is not of this engine", engine.ErrInvalid)
	}
	if s.closed.Load() {
		return fmt.Errorf("apply if: %w: the snapshot is closed", engine.ErrClosed)
	}
	return e.apply(ctx, b, d, func() error { return e.unchanged(s, reads) })
}

// unchanged is ErrConflict if something that was read shows another value now. Under mu.
func (e *Engine) unchanged(s *snapshot, reads engine.ReadSet) error {
	now := e.index.root.Load()
	if now == s.state && e.index.fixed {
		return nil
	}
	conflict := func(key []byte) error {
		return engine.KeyError("apply if", key, fmt.Errorf("%w: it has changed since it was read", engine.ErrConflict))
	}
	var full []byte
	for _, key := range reads.Keys {
		full = append(appendPrefix(full[:0], 0), key...)
		was, had := s.state.get(full)
		is, has := now.get(full)
		if had != has {
			return conflict(key)
		}
		if same, err := e.same(full, was, is); err != nil {
			return engine.KeyError("apply if", key, err)
		} else if !same {
			return conflict(key)
		}
	}
	for _, r := range reads.Ranges {
		if err := e.sameRange(s.state, now, r, conflict); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether two locations show the same value of a key: cleaning may have moved it.
func (e *Engine) same(key []byte, a, b location) (bool, error) {
	switch {
	case a == b:
		return true, nil
	case a.size != b.size || a.check != b.check:
		return false, nil
	}
	k := cachedAs(key)
	x, err := e.value(&k, a, nil)
	if err != nil {
		return false, err
	}
	y, err := e.value(&k, b, nil)
	return bytes.Equal(x, y), err
}

func (e *Engine) sameRange(was, is *root, r engine.Range, conflict func([]byte) error) error {
	lower := append(appendPrefix(nil, 0), r.Lower...)
	upper := successor(appendPrefix(nil, 0))
	if r.Upper != nil {
		upper = append(appendPrefix(nil, 0), r.Upper...)
	}
	a, b := cursor{root: was}, cursor{root: is}
	okA, okB := a.seekGE(lower), b.seekGE(lower)
	var keyA, keyB []byte
	for {
		if okA {
			keyA = a.appendKey(keyA[:0])
			okA = bytes.Compare(keyA, upper) < 0
		}
		if okB {
			keyB = b.appendKey(keyB[:0])
			okB = bytes.Compare(keyB, upper) < 0
		}
		switch {
		case !okA && !okB:
			return nil
		case !okB || okA && bytes.Compare(keyA, keyB) < 0:
			return conflict(keyA[1:])
		case !okA || !bytes.Equal(keyA, keyB):
			return conflict(keyB[1:])
		}
		if same, err := e.same(keyA, a.location(), b.location()); err != nil {
			return engine.KeyError("apply if", keyA[1:], err)
		} else if !same {
			return conflict(keyA[1:])
		}
		okA, okB = a.next(), b.next()
	}
}
