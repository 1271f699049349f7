package bbolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/peers/internal/dirs"
)

const (
	version  = "bbolt v1.5.0"
	fileName = "data.db"
)

var (
	bucketName = []byte("b")
	limits     = engine.Limits{
		NoEmptyKey:    true,
		MaxKeyBytes:   bolt.MaxKeySize,
		MaxValueBytes: engine.MaxValueBytes,
		MaxBatchBytes: engine.MaxBatchBytes,
	}
)

// Options configure a store. The zero value takes every default.
type Options struct {
	// NoSync opens the store with durability Buffered in place of Flushed. See
	// the package comment for what a loss of power then does.
	NoSync bool
	// MaxBytes is the address space for the file, and its largest size; default
	// 64 GiB, 1 GiB on 32-bit machines.
	MaxBytes int64
}

// Engine is a bbolt store.
type Engine struct {
	life       lifetime.Lifetime
	db         *bolt.DB
	dir        string
	durability engine.DurabilitySet
	noSync     bool
	// failed is the first failed commit that may have reached the file in part.
	failed atomic.Pointer[error]

	bytesApplied, commits atomic.Uint64
}

var _ engine.Engine = (*Engine)(nil)

// Open opens the store in dir, and makes it where there is none. ErrLocked if
// it is open already, in this process or another.
func Open(dir string, o Options) (*Engine, error) {
	e, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, translate(err))
	}
	return e, nil
}

func open(dir string, o Options) (e *Engine, err error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 30
		if math.MaxInt == math.MaxInt32 {
			o.MaxBytes = 1 << 30
		}
	}
	size := int(min(o.MaxBytes, math.MaxInt))
	if err := dirs.Make(dir); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("%w: panic: %v\n%s", engine.ErrCorrupt, r, debug.Stack())
		}
	}()
	db, err := bolt.Open(filepath.Join(dir, fileName), 0o600, &bolt.Options{
		Timeout:         time.Nanosecond, // one attempt at the lock
		FreelistType:    bolt.FreelistMapType,
		NoSync:          o.NoSync,
		InitialMmapSize: size,
		MaxSize:         size,
	})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketName) != nil {
			return nil
		}
		_, err := tx.CreateBucket(bucketName)
		return err
	})
	if err == nil {
		err = dirs.Sync(dir)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e = &Engine{db: db, dir: dir, noSync: o.NoSync, durability: engine.DurabilityOf(engine.Flushed)}
	if o.NoSync {
		e.durability = engine.DurabilityOf(engine.Buffered)
	}
	return e, nil
}

// translate gives an error of bbolt its kind and keeps it in the chain.
func translate(err error) error {
	for _, x := range []struct{ theirs, ours error }{
		{berrors.ErrTimeout, engine.ErrLocked},
		{berrors.ErrInvalid, engine.ErrCorrupt},
		{berrors.ErrChecksum, engine.ErrCorrupt},
		{berrors.ErrVersionMismatch, engine.ErrCorrupt},
		{berrors.ErrMaxSizeReached, engine.ErrNoSpace},
		{syscall.ENOSPC, engine.ErrNoSpace},
	} {
		if errors.Is(err, x.theirs) {
			return fmt.Errorf("%w: %w", x.ours, err)
		}
	}
	return err
}

// Traits tells what the engine can do.
func (e *Engine) Traits() engine.Traits {
	return engine.Traits{
		Name:       "bbolt",
		Version:    version,
		Durability: e.durability,
		Persistent: true,
		Checkpoint: true,
		Limits:     limits,
	}
}

// enter begins a call that writes: it is to be matched by Exit if it is nil.
func (e *Engine) enter(ctx context.Context, op string) error {
	if err := e.life.Enter(); err != nil {
		return err
	}
	err := ctx.Err()
	if failed := e.failed.Load(); err == nil && failed != nil {
		err = fmt.Errorf("%s: %w: %w", op, engine.ErrReadOnly, *failed)
	}
	if err != nil {
		e.life.Exit()
	}
	return err
}

// Apply commits b in a transaction of its own.
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
	if err := limits.Check(b); err != nil {
		return err
	}
	if b.Count() == 0 {
		return nil // every earlier commit has durability d
	}
	tx, err := e.db.Begin(true)
	if err != nil {
		return fmt.Errorf("apply: %w", translate(err))
	}
	if err := ctx.Err(); err != nil { // it may have waited for other writers
		return errors.Join(err, tx.Rollback())
	}
	if err := fill(tx.Bucket(bucketName), b); err != nil {
		return errors.Join(fmt.Errorf("apply: %w", translate(err)), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		if err = translate(err); !errors.Is(err, engine.ErrNoSpace) {
			// bbolt would go on and trust the next flush.
			e.failed.CompareAndSwap(nil, &err)
			return fmt.Errorf("apply: %w: %w", engine.ErrReadOnly, err)
		}
		return fmt.Errorf("apply: %w", err)
	}
	e.commits.Add(1)
	e.bytesApplied.Add(uint64(b.Size()))
	return nil
}

func fill(bucket *bolt.Bucket, b *engine.Batch) error {
	for op := range b.Ops() {
		var err error
		switch op.Kind {
		case engine.OpPut:
			err = bucket.Put(op.Key, op.Value)
		case engine.OpDelete:
			err = bucket.Delete(op.Key)
		case engine.OpDeleteRange:
			err = deleteRange(bucket, op.Key, op.Value)
		}
		if err != nil {
			return engine.KeyError(op.Kind.String(), op.Key, err)
		}
	}
	return nil
}

// deleteRange deletes key by key. A deletion invalidates the cursor, so each is
// followed by a seek, from the key just deleted rather than from lower, as
// leaves emptied on the way stay in the tree until the commit.
func deleteRange(bucket *bolt.Bucket, lower, upper []byte) error {
	c := bucket.Cursor()
	var last []byte
	for key, _ := c.Seek(lower); key != nil && bytes.Compare(key, upper) < 0; key, _ = c.Seek(last) {
		last = append(last[:0], key...)
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Sync flushes the file.
func (e *Engine) Sync(ctx context.Context) error {
	if err := e.enter(ctx, "sync"); err != nil {
		return err
	}
	defer e.life.Exit()
	if !e.noSync {
		return nil // every commit is flushed
	}
	if err := e.db.Sync(); err != nil {
		e.failed.CompareAndSwap(nil, &err)
		return fmt.Errorf("sync: %w: %w", engine.ErrReadOnly, err)
	}
	return nil
}

// Checkpoint copies the file as of the newest commit.
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

func (e *Engine) copyTo(ctx context.Context, dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, fileName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = e.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(cancellable{ctx, file})
		return err
	})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return dirs.Sync(dir)
}

// cancellable is a file whose Write fails once ctx has ended.
type cancellable struct {
	ctx  context.Context
	file *os.File
}

// Write appends p.
func (c cancellable) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.file.Write(p)
}

// Compact is ErrUnsupported: bbolt compacts only into another file.
func (e *Engine) Compact(context.Context, []byte, []byte) error {
	return fmt.Errorf("compact: %w: bbolt does not shrink a file in place", engine.ErrUnsupported)
}

// Metrics maps bbolt's.
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	stats := e.db.Stats()
	page := e.db.Info().PageSize
	m := engine.Metrics{
		BytesApplied: e.bytesApplied.Load(),
		// Each commit writes all the pages that it allocates, and a meta page.
		BytesFlushed: uint64(stats.TxStats.GetPageAlloc()) + e.commits.Load()*uint64(page),
		Missing:      []string{"MemoryBytes", "CacheHits", "CacheMisses", "Stalls", "StallTime"},
		Other: map[string]float64{
			"free_bytes":               float64(stats.FreePageN * page),
			"pending_free_bytes":       float64(stats.PendingPageN * page),
			"freelist_bytes":           float64(stats.FreelistInuse),
			"open_transactions":        float64(stats.OpenTxN),
			"node_splits":              float64(stats.TxStats.GetSplit()),
			"node_rebalances":          float64(stats.TxStats.GetRebalance()),
			"commit_write_seconds":     stats.TxStats.GetWriteTime().Seconds(),
			"commit_spill_seconds":     stats.TxStats.GetSpillTime().Seconds(),
			"commit_rebalance_seconds": stats.TxStats.GetRebalanceTime().Seconds(),
		},
	}
	if used, err := dirs.Usage(e.dir); err == nil {
		m.DiskBytes = used
	} else {
		m.Missing = append(m.Missing, "DiskBytes")
	}
	m.OpenIterators, m.OpenSnapshots = e.life.Open()
	return m
}

// Close closes the file.
func (e *Engine) Close() error {
	return e.life.Close(func() error {
		var errs []error
		if e.noSync && e.failed.Load() == nil {
			errs = append(errs, e.db.Sync())
		}
		if err := errors.Join(append(errs, e.db.Close())...); err != nil {
			return fmt.Errorf("close: %w", translate(err))
		}
		return nil
	})
}
