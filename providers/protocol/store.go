package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Object is a JSON object: a row, a document, properties. What is read of it has its
// numbers as json.Number, so that none loses a digit.
type Object map[string]any

// Store is what the stores of all protocols have. All methods of a store may be called
// from many goroutines at once.
type Store struct {
	protocol Protocol
	dir      string
	engine   engine.Engine
	families map[string]family
	o        Options
	meter    providers.Meter
	locks    *locks
	// sweepFailure is why the last sweep failed, nil if it did not or there is none.
	sweepFailure atomic.Pointer[string]

	// walks is held for reading while an iterator is open, so that close waits.
	walks sync.RWMutex
}

type family struct {
	id     engine.FamilyID
	reader engine.Reader
}

// Protocol returns whose store it is.
func (s *Store) Protocol() Protocol { return s.protocol }

// Name returns what metrics and health call the store: "protocol/redis".
func (s *Store) Name() string { return "protocol/" + string(s.protocol) }

// Dir returns the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Metrics returns counters since the store was opened, and gauges of now. The backend is
// the engine's name.
func (s *Store) Metrics() providers.Metrics {
	m := s.engine.Metrics()
	r := driver.Report{
		MemoryBytes: m.MemoryBytes, DiskBytes: m.DiskBytes, CompactionBacklog: m.CompactionDebtBytes, BacklogUnit: "bytes",
		CacheHits: m.CacheHits, CacheMisses: m.CacheMisses,
	}
	switch u, err := vfs.OS().DiskUsage(s.dir); {
	case err != nil:
		r.Degraded = "the device's usage is not known: " + err.Error()
	case u.Total > 0:
		r.DiskUsedPercent = 100 * float64(u.Total-u.Available) / float64(u.Total)
	}
	return s.meter.Metrics(s.Name(), s.engine.Traits().Name, r)
}

// Health asks the store for a key, and looks at the metrics.
func (s *Store) Health(ctx context.Context) providers.Health {
	err := ctx.Err()
	if err == nil {
		if _, err = s.engine.Get([]byte("health"), nil); errors.Is(err, engine.ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return providers.Health{State: providers.Unhealthy, Reasons: []string{"ping: " + err.Error()}}
	}
	h := providers.Thresholds{}.Judge(s.Metrics())
	if why := s.sweepFailure.Load(); why != nil {
		h.State = max(h.State, providers.Degraded)
		h.Reasons = append(h.Reasons, "sweeping what has expired fails: "+*why)
	}
	return h
}

// Checkpoint writes an openable, durable copy of the store into dir, which must not exist
// or must be empty.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	return s.engine.Checkpoint(ctx, dir)
}

// Compact reclaims the space of what was removed.
func (s *Store) Compact(ctx context.Context) error { return s.engine.Compact(ctx, nil, nil) }

func (s *Store) close() error {
	s.walks.Lock()
	defer s.walks.Unlock()
	return s.engine.Close()
}

// get returns the value of a key; ErrNotFound bare.
func (s *Store) get(ctx context.Context, of, key string) ([]byte, error) {
	start := time.Now()
	err := ctx.Err()
	var value []byte
	if err == nil {
		value, err = s.families[of].reader.Get([]byte(key), nil)
	}
	s.meter.Read(start, err)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil, engine.ErrNotFound
	case err != nil:
		return nil, engine.KeyError("get", []byte(key), err)
	}
	return value, nil
}

// has reports whether a key is there.
func (s *Store) has(ctx context.Context, of, key string) (bool, error) {
	_, err := s.get(ctx, of, key)
	if errors.Is(err, engine.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// getJSON decodes the value of a key into to.
func (s *Store) getJSON(ctx context.Context, of, key string, to any) error {
	value, err := s.get(ctx, of, key)
	if err != nil {
		return err
	}
	return decodeJSON(key, value, to)
}

func decodeJSON(key string, value []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(to); err != nil || d.More() {
		return engine.KeyError("decode", []byte(key), fmt.Errorf("%w: it is not the JSON that is wanted: %v", engine.ErrCorrupt, err))
	}
	return nil
}

func encodeJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: it has no form in JSON: %v", engine.ErrInvalid, err)
	}
	return data, nil
}

// batch is a batch over families by their names.
type batch struct {
	s *Store
	b engine.Batch
}

func (s *Store) batch() *batch { return &batch{s: s} }

func (b *batch) put(of, key string, value []byte) {
	b.b.PutIn(b.s.families[of].id, []byte(key), value)
}
func (b *batch) remove(of, key string) { b.b.DeleteIn(b.s.families[of].id, []byte(key)) }

// removePrefix removes all keys that begin with prefix, which ends with a colon.
func (b *batch) removePrefix(of, prefix string) {
	b.b.DeleteRangeIn(b.s.families[of].id, []byte(prefix), []byte(prefix[:len(prefix)-1]+";"))
}

// write applies the batch.
func (b *batch) write(ctx context.Context) error {
	start := time.Now()
	err := b.apply(ctx)
	b.s.meter.Write(start, err)
	return err
}

// writeDelete is write for what counts as a delete.
func (b *batch) writeDelete(ctx context.Context) error {
	start := time.Now()
	err := b.apply(ctx)
	b.s.meter.Delete(start, err)
	return err
}

func (b *batch) apply(ctx context.Context) error {
	err := b.s.engine.Apply(ctx, &b.b, b.s.o.Durability)
	if errors.Is(err, engine.ErrReadOnly) {
		return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, err) // it may be found after the next opening
	}
	return err
}

// entry is an entry of a list.
type entry struct {
	key   string
	value []byte
}

// listAtOnce is how many entries a list reads at a time. It holds no iterator while its
// caller works.
const listAtOnce = 256

// list yields entries whose keys begin with prefix and come after the key after.
func (s *Store) list(ctx context.Context, of, prefix, after string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for {
			start := time.Now()
			page, err := s.page(ctx, of, prefix, after)
			s.meter.Read(start, err)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.key
			}
			if err != nil {
				yield(entry{}, fmt.Errorf("list %s: %w", engine.QuoteKey([]byte(prefix)), err))
				return
			}
			if len(page) < listAtOnce {
				return
			}
		}
	}
}

func (s *Store) page(ctx context.Context, of, prefix, after string) (page []entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.walks.RLock()
	defer s.walks.RUnlock()
	o := engine.IterOptions{Lower: []byte(prefix)}
	if after != "" {
		o.Lower = []byte(after + "\x00")
	}
	it, err := s.families[of].reader.NewIterator(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for ok := it.First(); ok && len(page) < listAtOnce && bytes.HasPrefix(it.Key(), []byte(prefix)); ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return page, err
		}
		page = append(page, entry{string(it.Key()), bytes.Clone(value)})
	}
	return page, nil
}

// listJSON yields what the values of a list are, with the rest of their keys.
func listJSON[T any](ctx context.Context, s *Store, of, prefix string, named func(rest string, v T) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for e, err := range s.list(ctx, of, prefix, "") {
			var v T
			if err == nil {
				err = decodeJSON(e.key, e.value, &v)
			}
			if err == nil {
				v, err = named(e.key[len(prefix):], v)
			}
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
