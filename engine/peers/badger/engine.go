package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/peers/internal/dirs"
)

const (
	version     = "Badger v4.9.6"
	maxKeyBytes = 65_000
)

// Options configure a store. The zero value takes every default, which are
// Badger's own.
type Options struct {
	// NoSync opens the store with durability Buffered in place of Flushed.
	NoSync bool
	// CacheBytes bounds the blocks held in memory; default 256 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed, and decides how
	// large a batch may be; default 64 MiB, at least 4 MiB. Up to five exist.
	MemTableBytes int64
}

// Engine is a Badger store.
type Engine struct {
	life       lifetime.Lifetime
	db         *badger.DB
	options    badger.Options
	durability engine.DurabilitySet
	limits     engine.Limits
	failed     *failure

	// ranges is held by a batch with a delete-range, alone, and shared by the
	// others: the range must hold no key that it has not seen when it commits.
	ranges sync.RWMutex
	// compacting admits one compaction: Badger stops and starts its own for it.
	compacting sync.Mutex

	bytesApplied atomic.Uint64
}

var _ engine.Engine = (*Engine)(nil)

// Open opens the store in dir, and makes it where there is none. ErrLocked if
// it is open already, in this process or another.
func Open(dir string, o Options) (*Engine, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 256 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.MemTableBytes < 4<<20 {
		return nil, fmt.Errorf("open %s: %w: MemTableBytes is %d; the least is %d", dir, engine.ErrInvalid, o.MemTableBytes, 4<<20)
	}
	failed := new(failure)
	// A value of half a transaction or more goes to the value log, as does one
	// of 1 MiB.
	threshold := min(1<<20, o.MemTableBytes*15/100/2)
	options := badger.DefaultOptions(dir).
		WithSyncWrites(!o.NoSync).
		WithBlockCacheSize(o.CacheBytes).
		WithMemTableSize(o.MemTableBytes).
		WithValueThreshold(threshold).
		WithDetectConflicts(false). // a transaction here reads only under ranges
		WithMetricsEnabled(false).  // they are one set for all stores of the process
		WithLogger(failed)
	db, err := open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, translate(err))
	}
	e := &Engine{db: db, options: options, failed: failed, durability: engine.DurabilityOf(engine.Flushed)}
	if o.NoSync {
		e.durability = engine.DurabilityOf(engine.Buffered)
	}
	batch := int(db.MaxBatchSize() / 4 * 3)
	e.limits = engine.Limits{
		NoEmptyKey:    true,
		MaxKeyBytes:   maxKeyBytes,
		MaxValueBytes: batch - maxKeyBytes - 64,
		MaxBatchBytes: batch,
	}
	return e, nil
}

func open(dir string, options badger.Options) (db *badger.DB, err error) {
	if err := dirs.Make(dir); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: panic: %v\n%s", engine.ErrCorrupt, r, debug.Stack())
		}
	}()
	return badger.Open(options)
}

// failure is Badger's logger. It keeps the first error and drops the rest.
type failure struct{ first atomic.Pointer[error] }

// Errorf keeps the first error.
func (f *failure) Errorf(format string, args ...any) { f.set(fmt.Errorf(format, args...)) }

// Warningf drops it.
func (f *failure) Warningf(string, ...any) {}

// Infof drops it.
func (f *failure) Infof(string, ...any) {}

// Debugf drops it.
func (f *failure) Debugf(string, ...any) {}

func (f *failure) set(err error) { f.first.CompareAndSwap(nil, &err) }

// readOnly returns the ErrReadOnly of the first error, nil if there is none.
func (f *failure) readOnly() error {
	if first := f.first.Load(); first != nil {
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, *first)
	}
	return nil
}

// translate gives an error of Badger its kind and keeps it in the chain. Badger
// wraps most errors as text, so that text is what there is to go by.
func translate(err error) error {
	switch {
	case errors.Is(err, badger.ErrTxnTooBig):
		return fmt.Errorf("%w: %w", engine.ErrTooLarge, err)
	case errors.Is(err, badger.ErrInvalidKey):
		return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	text := err.Error()
	for _, x := range []struct {
		theirs string
		ours   error
	}{
		{"Cannot acquire directory lock", engine.ErrLocked},
		{syscall.ENOSPC.Error(), engine.ErrNoSpace},
		{"checksum", engine.ErrCorrupt},
		{"bad magic", engine.ErrCorrupt},
		{"unsupported version", engine.ErrCorrupt},
	} {
		if strings.Contains(text, x.theirs) && !errors.Is(err, x.ours) {
			return fmt.Errorf("%w: %w", x.ours, err)
		}
	}
	return err
}

// Traits tells what the engine can do.
func (e *Engine) Traits() engine.Traits {
	return engine.Traits{
		Name:       "badger",
		Version:    version,
		Durability: e.durability,
		Persistent: true,
		Checkpoint: true,
		Compact:    true,
		Limits:     e.limits,
	}
}

// enter begins a call that changes files: it is to be matched by Exit if it
// returns nil.
func (e *Engine) enter(ctx context.Context, op string) error {
	if err := e.life.Enter(); err != nil {
		return err
	}
	err := ctx.Err()
	if failed := e.failed.readOnly(); err == nil && failed != nil {
		err = fmt.Errorf("%s: %w", op, failed)
	}
	if err != nil {
		e.life.Exit()
	}
	return err
}

// Apply commits b as one transaction.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := e.enter(ctx, "apply"); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := engine.CheckDurability(e.durability, d); err != nil {
		return err
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: this engine has no families", engine.ErrUnsupported)
	}
	if err := e.limits.Check(b); err != nil {
		return err
	}
	if hasRange(b) {
		e.ranges.Lock()
		defer e.ranges.Unlock()
	} else {
		e.ranges.RLock()
		defer e.ranges.RUnlock()
	}
	txn := e.db.NewTransaction(true)
	defer txn.Discard()
	if err := fill(txn, b); err != nil {
		return fmt.Errorf("apply: %w", translate(err))
	}
	if err := ctx.Err(); err != nil { // it may have waited for a delete-range
		return err
	}
	if err := txn.Commit(); err != nil {
		if err = translate(err); !errors.Is(err, engine.ErrTooLarge) {
			e.failed.set(err)
		}
		return fmt.Errorf("apply: %w", err)
	}
	if err := e.failed.readOnly(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	e.bytesApplied.Add(uint64(b.Size()))
	return nil
}

func hasRange(b *engine.Batch) bool {
	for op := range b.Ops() {
		if op.Kind == engine.OpDeleteRange {
			return true
		}
	}
	return false
}

// fill gives the operations to txn, which keeps their bytes until it ends.
func fill(txn *badger.Txn, b *engine.Batch) error {
	for op := range b.Ops() {
		var err error
		switch op.Kind {
		case engine.OpPut:
			err = txn.Set(op.Key, op.Value)
		case engine.OpDelete:
			err = txn.Delete(op.Key)
		case engine.OpDeleteRange:
			err = deleteRange(txn, op.Key, op.Value)
		}
		if err != nil {
			return engine.KeyError(op.Kind.String(), op.Key, err)
		}
	}
	return nil
}

// deleteRange deletes key by key. The iterator shows what the transaction has
// written before it was made.
func deleteRange(txn *badger.Txn, lower, upper []byte) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Seek(lower); it.Valid(); it.Next() {
		item := it.Item()
		if string(item.Key()) >= string(upper) {
			return nil
		}
		if err := txn.Delete(item.KeyCopy(nil)); err != nil {
			return err
		}
	}
	return nil
}

// Sync flushes all logs, and the directory.
func (e *Engine) Sync(ctx context.Context) error {
	if err := e.enter(ctx, "sync"); err != nil {
		return err
	}
	defer e.life.Exit()
	if e.options.SyncWrites {
		return nil // every commit is flushed
	}
	if err := syncLogs(e.options.Dir); err != nil {
		e.failed.set(err)
		return fmt.Errorf("sync: %w", translate(err))
	}
	return nil
}

// syncLogs flushes the logs of memtables and values. One that is gone was
// flushed as a table. It goes through descriptors of its own, which flush what
// was written through any map of the file.
func syncLogs(dir string) error {
	for _, pattern := range []string{"*.vlog", "*.mem"} { // what is pointed to first
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			file, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := errors.Join(file.Sync(), file.Close()); err != nil {
				return err
			}
		}
	}
	return dirs.Sync(dir)
}

// Compact flattens the whole tree, whatever the bounds, and rewrites value logs
// that are mostly garbage.
func (e *Engine) Compact(ctx context.Context, _, _ []byte) error {
	if err := e.enter(ctx, "compact"); err != nil {
		return err
	}
	defer e.life.Exit()
	e.compacting.Lock()
	defer e.compacting.Unlock()
	if err := e.db.Flatten(1); err != nil {
		return fmt.Errorf("compact: %w", translate(err))
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := e.db.RunValueLogGC(0.5); {
		case errors.Is(err, badger.ErrNoRewrite):
			return nil
		case err != nil:
			return fmt.Errorf("compact: %w", translate(err))
		}
	}
}

// Checkpoint writes the newest commit into a new store, entry by entry: Badger
// has no copy of its files to offer.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	if err := e.life.Enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := dirs.MakeEmpty(dir)
	if err == nil {
		if err = e.copyTo(ctx, dir); err != nil {
			err = errors.Join(err, dirs.Clear(dir))
		}
	}
	if err != nil {
		return fmt.Errorf("checkpoint into %s: %w", dir, translate(err))
	}
	return nil
}

func (e *Engine) copyTo(ctx context.Context, dir string) (err error) {
	failed := new(failure)
	to, err := badger.Open(e.options.WithDir(dir).WithValueDir(dir).WithSyncWrites(false).WithLogger(failed))
	if err != nil {
		return err
	}
	batch := to.NewWriteBatch()
	txn := e.db.NewTransaction(false)
	err = func() error {
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			value, err := it.Item().ValueCopy(nil)
			if err == nil {
				err = batch.Set(it.Item().KeyCopy(nil), value)
			}
			if err != nil {
				return err
			}
		}
		return batch.Flush()
	}()
	batch.Cancel()
	// Close writes the memtable as a table and flushes all there is.
	return errors.Join(err, to.Close(), failed.readOnly())
}

// Metrics maps Badger's. What Badger counts, it counts for the whole process,
// so that little is left for one store.
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	m := engine.Metrics{
		BytesApplied: e.bytesApplied.Load(),
		Missing:      []string{"MemoryBytes", "BytesLogged", "BytesFlushed", "BytesCompacted", "CompactionDebtBytes", "Stalls", "StallTime"},
		Other:        map[string]float64{},
	}
	cache := e.db.BlockCacheMetrics()
	m.CacheHits, m.CacheMisses = cache.Hits(), cache.Misses()
	var staleBytes float64
	for _, level := range e.db.Levels() {
		m.Levels = append(m.Levels, engine.LevelMetrics{Files: int64(level.NumTables), Bytes: uint64(level.Size)})
		staleBytes += float64(level.StaleDatSize)
	}
	m.Other["stale_table_bytes"] = staleBytes
	if used, err := dirs.Usage(e.options.Dir); err == nil {
		m.DiskBytes = used
	} else {
		m.Missing = append(m.Missing, "DiskBytes")
	}
	m.OpenIterators, m.OpenSnapshots = e.life.Open()
	return m
}

// Close closes the store, and writes its memtable as a table.
func (e *Engine) Close() error {
	return e.life.Close(func() error {
		err := e.db.Close()
		if err == nil {
			err = e.failed.readOnly()
		}
		if err != nil {
			return fmt.Errorf("close: %w", translate(err))
		}
		return nil
	})
}
