//go:build lmdb

package lmdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// Available tells whether this binary was built with LMDB.
const Available = true

// The files of a store. LMDB lets several processes share one, by the table of
// readers in its lock.mdb; the engine's own lock keeps it to one opener.
const (
	dataFile = "data.mdb"
	lockFile = "orbit.lock"
)

// store is an open LMDB environment.
type store struct {
	dir    string
	traits engine.Traits
	life   lifetime.Lifetime
	lock   *os.File
	native nativeStore

	// writer serialises commits, so that they wait in Go, not in LMDB's mutex.
	writer  sync.Mutex
	applied atomic.Uint64 // bytes
	// damage is the first error after which no write can be trusted.
	damage atomic.Pointer[error]
}

// Open opens the store in dir, and creates it there if dir is empty or not
// there; its parent must exist. ErrLocked: the store is open elsewhere, in this
// process or another one. ErrCorrupt: what is there is not an LMDB store, or is
// cut short.
func Open(dir string, o Options) (engine.Engine, error) {
	s, err := open(dir, o.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("open lmdb store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o Options) (*store, error) {
	if o.MapBytes < 0 {
		return nil, fmt.Errorf("%w: MapBytes %d is negative", engine.ErrInvalid, o.MapBytes)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	native, err := openNative(dir, o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s := &store{dir: dir, traits: traits(o), lock: lock, native: native}
	err = s.checkSize()
	// LMDB does not make the names of its files durable.
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err == nil {
			err = syncPath(d)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// lockDir takes the store's lock, which the file's closing releases.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %w", engine.ErrLocked, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkSize refuses a file that lacks pages which the newest commit may refer
// to: LMDB would read beyond its end, which is a fatal signal.
func (s *store) checkSize() error {
	stat, err := os.Stat(filepath.Join(s.dir, dataFile))
	if err != nil {
		return err
	}
	i := s.native.info()
	if want := i.usedPages * i.pageBytes; uint64(stat.Size()) < want {
		return fmt.Errorf("%w: %s has %d bytes of %d", engine.ErrCorrupt, dataFile, stat.Size(), want)
	}
	return nil
}

func (s *store) release() error {
	s.native.close()
	return s.lock.Close()
}

func traits(o Options) engine.Traits {
	limits := engine.DefaultLimits()
	limits.NoEmptyKey = true
	limits.MaxKeyBytes = maxKeyBytes()
	classes := engine.DurabilityOf(engine.Flushed)
	if o.NoSync {
		classes |= engine.DurabilityOf(engine.Buffered)
	}
	return engine.Traits{
		Name:       "lmdb",
		Version:    libraryVersion(),
		Durability: classes,
		Persistent: true,
		Checkpoint: true,
		Limits:     limits,
		MultiGet:   true,
	}
}

func (s *store) Traits() engine.Traits { return s.traits }

func (s *store) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := engine.CheckDurability(s.traits.Durability, d); err != nil {
		return err
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: this engine has no families", engine.ErrUnsupported)
	}
	if err := s.traits.Limits.Check(b); err != nil {
		return err
	}
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer s.life.Exit()
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if b.Count() == 0 {
		return s.sync("apply", d)
	}
	at, err := s.native.apply(b.Encoded(), d == engine.Flushed)
	if err != nil {
		return applyError(b, at, s.failed(err, at == b.Size()))
	}
	s.applied.Add(uint64(b.Size()))
	return nil
}

// applyError names the operation at which a batch failed.
func applyError(b *engine.Batch, at int, err error) error {
	if rest, decodeErr := engine.DecodeBatch(b.Encoded()[at:]); decodeErr == nil {
		for op := range rest.Ops() {
			return engine.KeyError("apply "+op.Kind.String(), op.Key, err)
		}
	}
	return fmt.Errorf("apply: commit: %w", err)
}

// sync brings all earlier commits to the durability d. It is called with writer
// held.
func (s *store) sync(op string, d engine.Durability) error {
	if d != engine.Flushed {
		return nil
	}
	if err := s.native.sync(); err != nil {
		return fmt.Errorf("%s: %w", op, s.failed(err, true))
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

// failed notes what err means to the writes that follow, and returns it.
// writing tells that the error is of a write or flush of the file: what it has
// is then open, unless it is only that there was no room.
func (s *store) failed(err error, writing bool) error {
	if !writing || errors.Is(err, engine.ErrNoSpace) {
		return err
	}
	s.damage.CompareAndSwap(nil, &err)
	return fmt.Errorf("%w: %w", engine.ErrReadOnly, err)
}

func (s *store) Sync(ctx context.Context) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer s.life.Exit()
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return s.sync("sync", engine.Flushed)
}

// Checkpoint writes a compact copy, without the pages that the store has free.
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

// checkpoint builds the copy under another name: LMDB neither syncs it nor
// removes what an error leaves.
func (s *store) checkpoint(dir string) error {
	if err := checkEmpty(dir); err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	partial, err := os.MkdirTemp(parent, filepath.Base(dir)+".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial) // gone, if all goes well
	if err := s.native.copy(partial); err != nil {
		return err
	}
	if err := os.Chmod(partial, 0o755); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(partial, dataFile), partial} {
		if err := syncPath(path); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	return syncPath(parent)
}

// checkEmpty returns ErrInvalid for what is there and is no empty directory.
func checkEmpty(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("%w: the directory is not empty", engine.ErrInvalid)
	default:
		return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Compact is ErrUnsupported: LMDB uses free pages again, but gives none back
// while it is open. A checkpoint is a compact copy.
func (s *store) Compact(context.Context, []byte, []byte) error {
	return fmt.Errorf("compact: %w: LMDB gives no space back while it is open; a checkpoint is a compact copy", engine.ErrUnsupported)
}

// Metrics has little to tell: LMDB has no log, no cache of its own, no
// compaction, and does not count what it writes.
func (s *store) Metrics() engine.Metrics {
	var m engine.Metrics
	if s.life.Enter() != nil {
		return m
	}
	defer s.life.Exit()
	m.BytesApplied = s.applied.Load()
	m.OpenIterators, m.OpenSnapshots = s.life.Open()
	m.DiskBytes = allocated(filepath.Join(s.dir, dataFile))
	m.Missing = []string{"MemoryBytes", "BytesFlushed", "CacheHits", "CacheMisses"}
	i := s.native.info()
	m.Other = map[string]float64{
		"entries":        float64(i.entries),
		"tree_levels":    float64(i.depth),
		"branch_pages":   float64(i.branchPages),
		"leaf_pages":     float64(i.leafPages),
		"overflow_pages": float64(i.overflowPages),
		"file_bytes":     float64(i.usedPages * i.pageBytes),
		"map_bytes":      float64(i.mapBytes),
		"reader_slots":   float64(i.readers),
	}
	return m
}

// allocated is what a file occupies.
func allocated(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Blocks) * 512
	}
	return uint64(info.Size())
}

func (s *store) Close() error { return s.life.Close(s.release) }
