package local

import (
	"bytes"
	"context"
	"errors"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// getNoted is Get, and notes what it has found: a commit of what many keys are read for
// is likely to follow. After a single get the note would cost more than it saves.
func (s *Store) getNoted(ctx context.Context, key []byte, e *driver.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return err
	}
	h := s.locks.hash(key)
	turns := s.known.reading(h)
	r, err := s.lookup(s.engine, key)
	switch {
	case err == nil:
		*e = r.entry(key)
	case errors.Is(err, driver.ErrNotFound):
		e.Key = key
	default:
		return driver.KeyError("get", key, err)
	}
	s.known.note(h, turns, &r)
	return nil
}

const (
	// scanLeast is how many keys in order are worth an iterator.
	scanLeast = 16
	// scanSteps is how far an iterator walks to the next key before it seeks.
	scanSteps = 4
)

// scanMany reads keys in ascending order with one iterator, for engines that have
// nothing better: neighbours cost a step each, and those between two neighbours, which
// are not there, nothing. It gives up where the keys lie so far apart that gets are
// cheaper, and returns how many it has read.
func (s *Store) scanMany(ctx context.Context, keys [][]byte, entries []driver.Entry) (done int, err error) {
	if len(keys) < scanLeast {
		return 0, nil
	}
	for i, key := range keys {
		if err := s.caps.Limits.CheckKey("get", key); err != nil {
			return 0, err
		}
		if i > 0 && bytes.Compare(keys[i-1], key) >= 0 {
			return 0, nil
		}
	}
	type reading struct{ hash, turns uint64 }
	begun := make([]reading, len(keys))
	for i, key := range keys {
		h := s.locks.hash(key)
		begun[i] = reading{h, s.known.reading(h)}
	}
	s.walks.RLock()
	defer s.walks.RUnlock()
	it, err := s.engine.NewIterator(engine.IterOptions{Lower: rowKey(keys[0]), Upper: append(bytes.Clone(rowKey(keys[len(keys)-1])), 0)})
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	seeks := 0
	for ok := it.First(); done < len(keys); done++ {
		if err := ctx.Err(); done%chunkEntries == 0 && err != nil {
			return 0, err
		}
		key := rowKey(keys[done])
		steps := 0
		for ok && bytes.Compare(it.Key(), key) < 0 {
			if steps++; steps <= scanSteps {
				ok = it.Next()
				continue
			}
			if seeks++; seeks > scanLeast/2 && seeks > done/2 {
				return done, nil
			}
			ok = it.SeekGE(key)
		}
		var r row
		entries[done].Key = keys[done]
		if ok && bytes.Equal(it.Key(), key) {
			data, err := it.Value()
			if err == nil {
				r, err = decodeRow(bytes.Clone(data))
			}
			if err != nil {
				return 0, driver.KeyError("get", keys[done], err)
			}
			if s.alive(&r) {
				entries[done] = r.entry(keys[done])
			} else {
				r = row{}
			}
		}
		if !ok && it.Err() != nil {
			return 0, it.Err()
		}
		s.known.note(begun[done].hash, begun[done].turns, &r)
	}
	return done, nil
}
