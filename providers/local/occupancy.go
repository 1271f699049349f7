package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Occupancy bounds what a store holds. The zero value is no bound.
type Occupancy struct {
	// MaxEntries bounds the number of entries; 0 is no bound.
	MaxEntries uint64
	// MaxBytes bounds the keys and rows together, without what the engine adds; 0
	// is no bound.
	MaxBytes uint64
	// Evict makes room for a write by removing entries that were written long ago;
	// else it is ErrNoSpace.
	Evict bool
}

func (o Occupancy) limited() bool { return o.MaxEntries > 0 || o.MaxBytes > 0 }

// nearPercent is how full a store with limits is degraded.
const nearPercent = 90

// errFull is the ErrNoSpace of a store's own limits.
var errFull = fmt.Errorf("%w: the store's own limit is reached", driver.ErrNoSpace)

// occupied counts what a store holds.
type occupied struct {
	limits Occupancy

	mu             sync.Mutex // guards what follows
	entries, bytes uint64
	evictions      uint64
}

// delta is by how much a write changes what a store holds.
type delta struct{ entries, bytes int64 }

func (d *delta) add(key []byte, row int) {
	d.entries++
	d.bytes += int64(len(key) + row)
}

func (d *delta) remove(key []byte, row int) {
	d.entries--
	d.bytes -= int64(len(key) + row)
}

func (d delta) reversed() delta { return delta{-d.entries, -d.bytes} }

// take counts a change, or returns errFull if it goes beyond a limit. What frees
// room is always taken.
func (o *occupied) take(d delta) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	entries, size := o.entries+uint64(d.entries), o.bytes+uint64(d.bytes)
	switch l := o.limits; {
	case l.MaxEntries > 0 && d.entries > int64(l.MaxEntries), l.MaxBytes > 0 && d.bytes > int64(l.MaxBytes):
		return fmt.Errorf("%w: %d entries of %d bytes do not fit into an empty store of max_entries %d and max_bytes %d", driver.ErrTooLarge, d.entries, d.bytes, l.MaxEntries, l.MaxBytes)
	case d.entries > 0 && l.MaxEntries > 0 && entries > l.MaxEntries:
		return fmt.Errorf("%w: %d entries of %d; delete some, raise max_entries, or configure eviction", errFull, o.entries, l.MaxEntries)
	case d.bytes > 0 && l.MaxBytes > 0 && size > l.MaxBytes:
		return fmt.Errorf("%w: %d bytes and %d more, of %d; delete some, raise max_bytes, or configure eviction", errFull, o.bytes, d.bytes, l.MaxBytes)
	}
	o.entries, o.bytes = entries, size
	return nil
}

// giveBack takes a change back that was counted.
func (o *occupied) giveBack(d delta) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries -= uint64(d.entries)
	o.bytes -= uint64(d.bytes)
}

func (o *occupied) report(r *driver.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Entries, r.EntryLimit, r.MemoryLimitBytes, r.Evictions = o.entries, o.limits.MaxEntries, o.limits.MaxBytes, o.evictions
	if o.limits.MaxBytes > 0 {
		r.MemoryBytes = o.bytes
	}
	switch l := o.limits; {
	case l.MaxEntries > 0 && o.entries*100 >= l.MaxEntries*nearPercent:
		r.Degraded = fmt.Sprintf("%d entries of %d", o.entries, l.MaxEntries)
	case l.MaxBytes > 0 && o.bytes/nearPercent*100 >= l.MaxBytes:
		r.Degraded = fmt.Sprintf("%d bytes of %d", o.bytes, l.MaxBytes)
	}
}

// count counts what is there, expired entries included.
func (s *Store) count(ctx context.Context, limits Occupancy) (*occupied, error) {
	o := &occupied{limits: limits}
	it, err := s.engine.NewIterator(engine.IterOptions{Lower: firstRow})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			it.Close()
			return nil, err
		}
		o.entries++
		o.bytes += uint64(len(userKey(nil, it.Key())) + len(value))
		if o.entries%chunkEntries == 0 && ctx.Err() != nil {
			it.Close()
			return nil, ctx.Err()
		}
	}
	return o, it.Close()
}

// sample is how many entries one eviction chooses among.
const sample = 8

// makeRoom removes an entry, if that is configured, else it returns full: of the
// few that follow a random place, the one written longest ago, as Redis samples.
// Expired entries go before all others.
func (o *occupied) makeRoom(ctx context.Context, s *Store, full error) error {
	if n, err := s.Expire(ctx, sample); err != nil || n > 0 {
		return err
	}
	if !o.limits.Evict {
		return full
	}
	victim, err := s.victim()
	if err != nil || victim == nil {
		return errors.Join(err, full)
	}
	if _, err := s.one(ctx, driver.Write{Key: victim, Delete: true}, false, driver.Revision{}); err != nil {
		return err
	}
	o.mu.Lock()
	o.evictions++
	o.mu.Unlock()
	return nil
}

// victim returns the key to evict, nil if there is none.
func (s *Store) victim() (key []byte, err error) {
	s.walks.RLock()
	defer s.walks.RUnlock()
	it, err := s.engine.NewIterator(engine.IterOptions{Lower: firstRow})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	if !it.Last() {
		return nil, it.Err()
	}
	last := bytes.Clone(it.Key())
	if !it.First() {
		return nil, it.Err()
	}
	// Keys mostly share what they begin with: the random place is a random byte at
	// the first one in which the lowest and the highest key differ, and after it.
	first := it.Key()
	common := 0
	for common < len(first) && common < len(last) && first[common] == last[common] {
		common++
	}
	place := append([]byte(nil), first[:common]...)
	for range 8 {
		place = append(place, byte(rand.Uint32()))
	}
	var oldest uint64
	ok := it.SeekGE(place)
	for range sample {
		if !ok {
			if ok = it.First(); !ok {
				return key, it.Err()
			}
		}
		data, err := it.Value()
		if err != nil {
			return nil, err
		}
		r, err := decodeRow(data)
		if err != nil {
			return nil, driver.KeyError("evict", it.Key(), err)
		}
		if key == nil || r.revision < oldest {
			key, oldest = userKey(nil, it.Key()), r.revision
		}
		ok = it.Next()
	}
	return key, it.Err()
}
