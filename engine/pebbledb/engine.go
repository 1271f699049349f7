package pebbledb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

const version = "Pebble v2.1.7"

// Engine is a Pebble store.
type Engine struct {
	life lifetime.Lifetime
	db   *pebble.DB
	lock *pebble.Lock
	// opts is what db was opened with; tables for ingestion are made alike.
	opts  *pebble.Options
	dir   string
	fence *fence
	// roomBytes is how much free space ends the state full.
	roomBytes uint64

	bytesApplied atomic.Uint64
	ingests      atomic.Uint64
	stalls       stallClock
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Ingester = (*Engine)(nil)
)

// Open opens the store in dir, and makes it where there is none. ErrLocked if
// it is open already, in this process or another.
func Open(dir string, o Options) (e *Engine, err error) {
	o.setDefaults()
	defer func() {
		// Pebble panics on some damaged files.
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("open %s: %w: panic: %v\n%s", dir, engine.ErrCorrupt, r, debug.Stack())
		}
	}()
	if err := o.FS.MkdirAll(dir, 0o755); err != nil {
		return nil, wrap("open "+dir, err)
	}
	dir, lock, err := lockDirectory(dir, o.FS)
	if err != nil {
		return nil, wrap("open "+dir, err)
	}
	if e, err = open(dir, o, lock); err != nil {
		return nil, wrap("open "+dir, errors.Join(err, lock.Close()))
	}
	return e, nil
}

// lockDirectory locks a directory, and returns the one name that it has. ErrLocked if somebody
// has it locked.
func lockDirectory(dir string, fsys vfs.FS) (string, *pebble.Lock, error) {
	if fsys == vfs.Default {
		// Pebble's lock goes by name within a process, and a second descriptor of
		// the lock file would drop it: one directory must have one name.
		full, err := filepath.Abs(dir)
		if err == nil {
			full, err = filepath.EvalSymlinks(full)
		}
		if err != nil {
			return dir, nil, err
		}
		dir = full
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	if err != nil {
		// A lock that is held is an error of its own; one that cannot be tried
		// is an error of the file's path.
		if path := (*fs.PathError)(nil); !errors.As(err, &path) {
			err = fmt.Errorf("%w: %w", engine.ErrLocked, err)
		}
		return dir, nil, err
	}
	return dir, lock, nil
}

func open(dir string, o Options, lock *pebble.Lock) (*Engine, error) {
	e := &Engine{dir: dir, lock: lock, fence: newFence(o.FS, dir), roomBytes: o.MemTableBytes}
	if err := removeAll(o.FS, e.ingestDir()); err != nil {
		return nil, err
	}
	e.opts = o.pebbleOptions()
	e.opts.FS = e.fence
	e.opts.Lock = lock
	e.opts.Logger = logger{to: o.Logger, fence: e.fence}
	e.opts.EventListener = e.listener()
	if err := e.roomToOpen(); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, e.opts)
	if err == nil && e.fence.cause() != nil {
		err = errors.Join(e.fence.cause(), db.Close())
	}
	if err != nil {
		return nil, err
	}
	e.db = db
	e.opts.EnsureDefaults()
	e.fence.armed.Store(true)
	return e, nil
}

// leastRoom is what an opening writes beside what is in the log.
const leastRoom = 1 << 20

// roomToOpen returns ErrNoSpace if there is no room for a table of all that is in the log.
// Pebble makes one when it opens, and where the device is full it tries that again and
// again, without an end and without a pause.
func (e *Engine) roomToOpen() error {
	names, err := e.fence.List(e.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	need := uint64(leastRoom)
	for _, name := range names {
		if filepath.Ext(name) != ".log" {
			continue
		}
		info, err := e.fence.Stat(e.fence.PathJoin(e.dir, name))
		if err != nil {
			return err
		}
		need += uint64(info.Size())
	}
	use, err := e.fence.GetDiskUsage(e.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil // it is in memory
	}
	if err != nil {
		return err
	}
	if use.AvailBytes < need {
		return fmt.Errorf("%w: opening may take %d bytes, as what is in the log goes to a table, and %d are free: make room", engine.ErrNoSpace, need, use.AvailBytes)
	}
	return nil
}

// listener follows what Pebble does in the background.
func (e *Engine) listener() *pebble.EventListener {
	ended := func(err error) {
		if err == nil {
			e.fence.full.Store(nil)
		}
	}
	return &pebble.EventListener{
		BackgroundError: e.fence.background,
		FlushEnd:        func(info pebble.FlushInfo) { ended(info.Err) },
		CompactionEnd:   func(info pebble.CompactionInfo) { ended(info.Err) },
		// The reader that met it gets the error; the default ends the process.
		DataCorruption:  func(pebble.DataCorruptionInfo) {},
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { e.stalls.begin(time.Now()) },
		WriteStallEnd:   func() { e.stalls.end(time.Now()) },
	}
}

// writable returns why the engine takes no writes, nil if it does.
func (e *Engine) writable() error {
	if cause := e.fence.cause(); cause != nil {
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, cause)
	}
	if full := e.fence.full.Load(); full != nil {
		// Pebble may wait half a minute before it tries a compaction again.
		if use, err := e.fence.GetDiskUsage(e.dir); err != nil || use.AvailBytes < e.roomBytes {
			return *full
		}
		e.fence.full.CompareAndSwap(full, nil)
	}
	return nil
}

// Apply commits b. After ErrReadOnly the outcome of b is unknown if it is the
// first to get it; it may be visible, and there after the next Open.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := e.life.Enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := engine.CheckDurability(durability, d); err != nil {
		return err
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: this engine has no families", engine.ErrUnsupported)
	}
	if err := limits.Check(b); err != nil {
		return err
	}
	if err := e.writable(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := e.commit(b, d); err != nil {
		return wrap("apply", err)
	}
	if cause := e.fence.cause(); cause != nil {
		return fmt.Errorf("apply: %w: %w", engine.ErrReadOnly, cause)
	}
	e.bytesApplied.Add(uint64(b.Size()))
	return nil
}

func (e *Engine) commit(b *engine.Batch, d engine.Durability) error {
	// Pebble's encoding takes as many bytes, after a header of 12.
	pb := e.db.NewBatchWithSize(b.Size() + 64)
	defer pb.Close()
	for op := range b.Ops() {
		var err error
		switch op.Kind {
		case engine.OpPut:
			err = pb.Set(op.Key, op.Value, nil)
		case engine.OpDelete:
			err = pb.Delete(op.Key, nil)
		case engine.OpDeleteRange:
			if string(op.Key) < string(op.Value) { // Pebble takes no empty range
				err = pb.DeleteRange(op.Key, op.Value, nil)
			}
		}
		if err != nil {
			return engine.KeyError(op.Kind.String(), op.Key, err)
		}
	}
	if d != engine.Flushed {
		return pb.Commit(pebble.NoSync)
	}
	if pb.Empty() {
		return e.db.LogData(nil, pebble.Sync)
	}
	return pb.Commit(pebble.Sync)
}

// Get appends the value of key to dst.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	if err := e.life.Enter(); err != nil {
		return dst, err
	}
	defer e.life.Exit()
	value, closer, err := e.db.Get(key)
	return take(key, dst, value, closer, err)
}

// NewIterator returns an iterator over the newest commit.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	bounds := boundsOf(o)
	it, err := e.db.NewIter(&bounds)
	return newIterator(&e.life, it, err, o)
}

// Sync flushes the log.
func (e *Engine) Sync(ctx context.Context) error {
	return e.maintain(ctx, "sync", func() error { return e.db.LogData(nil, pebble.Sync) })
}

// maintain runs an operation that changes files but not what readers see.
func (e *Engine) maintain(ctx context.Context, op string, do func() error) error {
	if err := e.life.Enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if cause := e.fence.cause(); cause != nil {
		return fmt.Errorf("%s: %w: %w", op, engine.ErrReadOnly, cause)
	}
	err := do()
	if cause := e.fence.cause(); cause != nil {
		return fmt.Errorf("%s: %w: %w", op, engine.ErrReadOnly, cause)
	}
	return wrap(op, err)
}

// Checkpoint links the tables and copies the log into dir, and syncs dir and
// those parents of it that it makes.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	return e.maintain(ctx, "checkpoint into "+dir, func() error {
		names, err := e.fence.List(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case len(names) > 0:
			return fmt.Errorf("%w: the directory is not empty", engine.ErrInvalid)
		default:
			// Pebble makes the directory itself.
			if err := e.fence.Remove(dir); err != nil {
				return err
			}
		}
		return e.db.Checkpoint(dir, pebble.WithFlushedWAL())
	})
}

// Compact compacts down to the last level.
func (e *Engine) Compact(ctx context.Context, lower, upper []byte) error {
	return e.maintain(ctx, "compact", func() error {
		if lower == nil {
			lower = []byte{}
		}
		if upper == nil {
			upper = pastEveryKey
		}
		if string(lower) >= string(upper) {
			return nil
		}
		// Pebble would wait for a compaction that fails again and again.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(e.fence.open, cancel)()
		err := e.db.Compact(ctx, lower, upper, true)
		if err != nil && ctx.Err() == nil {
			e.fence.background(err) // which Pebble tells only after it has returned
		}
		return err
	})
}

// Close closes the store. It returns the cause if the store became read-only,
// as what was applied and not yet acknowledged as Flushed may then be lost.
func (e *Engine) Close() error {
	return e.life.Close(func() error {
		close(e.fence.ending)
		err := errors.Join(e.db.Close(), e.lock.Close())
		if cause := e.fence.cause(); cause != nil {
			err = errors.Join(fmt.Errorf("%w: %w", engine.ErrReadOnly, cause), err)
		}
		return wrap("close", err)
	})
}
