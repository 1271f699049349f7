package local

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// alive reports whether r has not expired.
func (s *Store) alive(r *row) bool { return r.expires == 0 || r.expires > s.now().UnixNano() }

// Get implements driver.Store. It allocates the value alone.
func (s *Store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	return s.get(ctx, s.engine, key)
}

func (s *Store) get(ctx context.Context, from engine.Reader, key []byte) (driver.Entry, error) {
	if err := ctx.Err(); err != nil {
		return driver.Entry{}, err
	}
	if len(key) == 0 || len(key) > s.caps.Limits.MaxKeyBytes {
		return driver.Entry{}, s.caps.Limits.CheckKey("get", key)
	}
	r, err := s.lookup(from, key)
	if err != nil {
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	return r.entry(key), nil
}

// lookup returns the row of a key, ErrNotFound if it has expired.
func (s *Store) lookup(from engine.Reader, key []byte) (row, error) {
	data, err := from.Get(rowKey(key), nil)
	if err != nil {
		if errors.Is(err, engine.ErrNotFound) {
			return row{}, driver.ErrNotFound
		}
		return row{}, err
	}
	r, err := decodeRow(data)
	if err != nil {
		return row{}, err
	}
	if !s.alive(&r) {
		return row{}, driver.ErrNotFound
	}
	return r, nil
}

// revisionOf returns the revision of a key whose lock is held, 0 if it is not there.
func (s *Store) revisionOf(key []byte, hash uint64) (uint64, error) {
	if r, ok := s.known.of(hash); ok {
		if !s.alive(&r) {
			return 0, nil
		}
		return r.revision, nil
	}
	r, err := s.lookup(s.engine, key)
	if errors.Is(err, driver.ErrNotFound) {
		return 0, nil
	}
	return r.revision, err
}

// GetMany implements driver.BatchGetter.
func (s *Store) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	entries := make([]driver.Entry, len(keys))
	if s.multi == nil {
		done, err := s.scanMany(ctx, keys, entries)
		for i := done; i < len(keys) && err == nil; i++ {
			err = s.getNoted(ctx, keys[i], &entries[i])
		}
		if err != nil {
			return nil, err
		}
		return entries, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := manyPool.Get().(*many)
	defer m.release()
	m.store, m.keys, m.entries = s, keys, entries
	for _, key := range keys {
		if err := s.caps.Limits.CheckKey("get", key); err != nil {
			return nil, err
		}
		m.rows = append(m.rows, rowKey(key))
	}
	if err := s.multi.MultiGet(m.rows, m.found); err != nil {
		return nil, err
	}
	if m.failed != nil {
		return nil, m.failed
	}
	return entries, nil
}

// many is what GetMany works with, which is taken once for many calls.
type many struct {
	store   *Store
	keys    [][]byte
	rows    [][]byte // of the keys
	entries []driver.Entry
	failed  error
	found   func(i int, value []byte, present bool) // is (*many).take
}

var manyPool = sync.Pool{New: func() any {
	m := new(many)
	m.found = m.take
	return m
}}

func (m *many) take(i int, value []byte, present bool) {
	m.entries[i].Key = m.keys[i]
	if !present || m.failed != nil {
		return
	}
	r, err := decodeRow(bytes.Clone(value))
	if err != nil {
		m.failed = driver.KeyError("get", m.keys[i], err)
		return
	}
	if m.store.alive(&r) {
		m.entries[i] = r.entry(m.keys[i])
	}
}

// release gives m back without what it refers to.
func (m *many) release() {
	clear(m.rows)
	m.store, m.keys, m.rows, m.entries, m.failed = nil, nil, m.rows[:0], nil, nil
	if cap(m.rows) <= chunkEntries {
		manyPool.Put(m)
	}
}

// A list reads this many entries and bytes at a time, and holds no iterator while
// its caller works, so that no Close waits for it.
const (
	firstChunkEntries = 64
	chunkEntries      = 1024
	chunkBytes        = 1 << 20
)

// List implements driver.Store.
func (s *Store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return s.list(ctx, s.engine, o)
}

func (s *Store) list(ctx context.Context, from engine.Reader, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		bounds, ok := bounds(o)
		if !ok {
			return
		}
		left, size := o.Limit, firstChunkEntries
		if left == 0 {
			left = int(^uint(0) >> 1)
		}
		var entries []driver.Entry // the same memory for all chunks: what is yielded is a copy
		for left > 0 {
			var next []byte
			var err error
			entries, next, err = s.chunk(ctx, entries[:0], from, bounds, o.KeysOnly, min(left, size))
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(driver.Entry{}, err)
				return
			}
			if next == nil {
				return
			}
			left -= len(entries)
			bounds.Lower, size = next, chunkEntries
		}
	}
}

// bounds returns the rows that a list is about; false if there can be none.
func bounds(o driver.ListOptions) (engine.IterOptions, bool) {
	b := engine.IterOptions{Lower: firstRow}
	if len(o.Prefix) > 0 {
		b.Lower = rowKey(o.Prefix)
		b.Upper = successor(b.Lower)
	}
	if o.After != nil {
		after := append(bytes.Clone(rowKey(o.After)), 0)
		if bytes.Compare(after, b.Lower) > 0 {
			b.Lower = after
		}
	}
	return b, o.Limit >= 0 && (b.Upper == nil || bytes.Compare(b.Lower, b.Upper) < 0)
}

// successor returns the first key after all that begin with prefix, nil if there
// is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			after := bytes.Clone(prefix[:i+1])
			after[i]++
			return after
		}
	}
	return nil
}

// chunk appends up to limit entries, and returns the row at which to go on, nil at the end.
func (s *Store) chunk(ctx context.Context, entries []driver.Entry, from engine.Reader, b engine.IterOptions, keysOnly bool, limit int) (_ []driver.Entry, next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return entries, nil, err
	}
	s.walks.RLock()
	defer s.walks.RUnlock()
	it, err := from.NewIterator(b)
	if err != nil {
		return entries, nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	now, size, seen := s.now().UnixNano(), 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		if len(entries) == limit || size > chunkBytes {
			return entries, bytes.Clone(it.Key()), nil
		}
		if seen++; seen%chunkEntries == 0 && ctx.Err() != nil { // a stretch of what has expired
			return entries, nil, ctx.Err()
		}
		data, err := it.Value()
		if err != nil {
			return entries, nil, driver.KeyError("list", it.Key(), err)
		}
		r, err := decodeRow(data)
		if err != nil {
			return entries, nil, driver.KeyError("list", it.Key(), err)
		}
		if r.expires != 0 && r.expires <= now {
			continue
		}
		// Key and value share one piece of memory.
		k := it.Key()
		memory := make([]byte, 0, len(k)+len(r.value))
		memory = userKey(memory, k)
		key := memory[:len(memory):len(memory)]
		if keysOnly {
			r.value = nil
		} else {
			memory = append(memory, r.value...)
			r.value = memory[len(key):len(memory):len(memory)]
		}
		size += len(memory)
		entries = append(entries, r.entry(key))
	}
	return entries, nil, nil
}

// Snapshot implements driver.Snapshotter.
func (s *Store) Snapshot(ctx context.Context) (driver.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := s.engine.Snapshot()
	if err != nil {
		return nil, err
	}
	return &snapshot{s, snap}, nil
}

type snapshot struct {
	store *Store
	snap  engine.Snapshot
}

func (s *snapshot) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	return s.store.get(ctx, s.snap, key)
}

func (s *snapshot) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return s.store.list(ctx, s.snap, o)
}

func (s *snapshot) Close() error { return s.snap.Close() }
