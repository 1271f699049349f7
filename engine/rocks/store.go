//go:build rocksdb

package rocks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// store is an open RocksDB database.
type store struct {
	reader // of the default family's newest state

	dir      string
	options  Options
	settings settings
	traits   engine.Traits
	life     lifetime.Lifetime
	db       *grocksdb.DB
	native   nativeDB

	// order is read-locked by commits, which RocksDB puts in order itself, and
	// write-locked by what must have no commit beside it. It guards families.
	order    sync.RWMutex
	families map[engine.FamilyID]*family

	applied atomic.Uint64 // bytes
	// damage is the first error after which no write can be trusted.
	damage atomic.Pointer[error]
}

func traits(o Options) engine.Traits {
	assertions := "assertions off"
	if libraryAsserting {
		assertions = "assertions on"
	}
	classes := engine.DurabilityOf(engine.Buffered, engine.Flushed)
	if o.ManualLogFlush {
		classes |= engine.DurabilityOf(engine.Memory)
	}
	return engine.Traits{
		Name:       "rocksdb",
		Version:    fmt.Sprintf("RocksDB %s (%s)", libraryVersion, assertions),
		Durability: classes,
		Persistent: true,
		Checkpoint: true,
		Compact:    true,
		Limits:     engine.DefaultLimits(),
		MultiGet:   true,
		Families:   true,
		Ingest:     true,
	}
}

func (s *store) Traits() engine.Traits { return s.traits }

// encodings are buffers for batches in RocksDB's encoding.
var encodings = sync.Pool{New: func() any { return new([]byte) }}

// mostPooled is the capacity above which a buffer is not kept for reuse.
const mostPooled = 1 << 20

func (s *store) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := engine.CheckDurability(s.traits.Durability, d); err != nil {
		return err
	}
	if err := s.traits.Limits.Check(b); err != nil {
		return err
	}
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer s.life.Exit()
	s.order.RLock()
	defer s.order.RUnlock()
	if err := s.checkFamilies(b); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	buffer := encodings.Get().(*[]byte)
	encoded, count := appendWriteBatch((*buffer)[:0], b)
	var applied bool
	var err error
	if count == 0 {
		applied, err = true, s.flushLog(d)
	} else {
		applied, err = s.native.write(encoded, d == engine.Flushed, d == engine.Buffered && s.options.ManualLogFlush)
	}
	if cap(encoded) <= mostPooled {
		*buffer = encoded
		encodings.Put(buffer)
	}
	if err != nil {
		return fmt.Errorf("apply: %w", s.failed(err, applied))
	}
	s.applied.Add(uint64(b.Size()))
	return nil
}

// flushLog brings all earlier commits to the durability d.
func (s *store) flushLog(d engine.Durability) error {
	if d == engine.Memory {
		return nil
	}
	return s.native.flushLog(d == engine.Flushed)
}

// checkFamilies returns ErrNotFound for a batch that names a family that is not
// there. RocksDB itself would notice only after the log has the batch.
func (s *store) checkFamilies(b *engine.Batch) error {
	if !b.UsesFamilies() {
		return nil
	}
	for op := range b.Ops() {
		if _, ok := s.families[op.Family]; !ok {
			return fmt.Errorf("%s %s in family %d: %w", op.Kind, engine.QuoteKey(op.Key), op.Family, engine.ErrNotFound)
		}
	}
	return nil
}

// writable returns ErrReadOnly after damage.
func (s *store) writable() error {
	if damage := s.damage.Load(); damage != nil {
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, *damage)
	}
	return nil
}

// failed notes what err, of a write, means to the writes that follow, and
// returns it. applied tells that commits are visible whose log records did not
// reach the file: whether they survive is open, so that this is damage. Where
// there was no room for a table, it is none: RocksDB refuses writes until it
// finds room, for which it looks every five seconds.
func (s *store) failed(err error, applied bool) error {
	if !applied && !damaging(err) {
		return err
	}
	s.damage.CompareAndSwap(nil, &err)
	if !applied && errors.Is(err, engine.ErrNoSpace) {
		return err // of this one batch nothing was applied
	}
	return fmt.Errorf("%w: %w", engine.ErrReadOnly, err)
}

func (s *store) Sync(ctx context.Context) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer s.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := s.native.flushLog(true); err != nil {
		return fmt.Errorf("sync: %w", s.failed(err, true))
	}
	return nil
}

// Checkpoint links the tables into dir, where it is on the same file system, and
// copies the rest.
func (s *store) Checkpoint(ctx context.Context, dir string) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer s.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.checkpoint(dir); err != nil {
		return fmt.Errorf("checkpoint into %s: %w", dir, err)
	}
	return nil
}

func (s *store) checkpoint(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := removeEmpty(dir); err != nil {
		return err
	}
	checkpoint, err := s.db.NewCheckpoint()
	if err != nil {
		return translate(err)
	}
	defer checkpoint.Destroy()
	// 0 flushes the memtables, whatever the size of the log. RocksDB builds the
	// copy under a name beside dir, syncs it, and renames it.
	if err := checkpoint.CreateCheckpoint(dir, 0); err != nil {
		return translate(err)
	}
	return syncDir(filepath.Dir(dir))
}

// removeEmpty removes dir if it is an empty directory, as RocksDB wants it;
// what else stands there is ErrInvalid.
func removeEmpty(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("%w: the directory is not empty", engine.ErrInvalid)
	case err != io.EOF:
		return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	return os.Remove(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Compact flushes the memtables and rewrites the tables that hold keys in
// [lower, upper), in every family.
func (s *store) Compact(ctx context.Context, lower, upper []byte) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	defer s.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if emptyRange(lower, upper) {
		return nil
	}
	for _, f := range s.enterFamilies() {
		err := ctx.Err()
		if err == nil {
			err = s.native.compact(ctx, f.native, lower, upper)
		}
		f.exit()
		if err != nil {
			return fmt.Errorf("compact family %q: %w", f.name, err)
		}
	}
	return nil
}

// enterFamilies returns all families, each to be left with exit.
func (s *store) enterFamilies() []*family {
	s.order.RLock()
	defer s.order.RUnlock()
	all := make([]*family, 0, len(s.families))
	for _, f := range s.families {
		f.hold()
		all = append(all, f)
	}
	return all
}

func (s *store) Close() error { return s.life.Close(s.release) }
