package tiny

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/target"
)

// Target returns the engine with a defect as a target.
func Target(d Defect) target.Engine {
	return target.Engine{
		Name: "tiny",
		OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
			return Open(fsys, dir, d)
		},
	}
}

const headBytes = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type entry struct{ key, value []byte }

// view is the map at one commit. It does not change.
type view struct {
	entries []entry
	seq     uint64
}

func (v *view) find(key []byte) (int, bool) {
	i := sort.Search(len(v.entries), func(i int) bool { return string(v.entries[i].key) >= string(key) })
	return i, i < len(v.entries) && string(v.entries[i].key) == string(key)
}

func (v *view) apply(b *engine.Batch, seq uint64) *view {
	return v.applyKept(b, seq, slices.Clone[[]byte])
}

// applyKept applies a batch; keep makes of a value what is kept of it.
func (v *view) applyKept(b *engine.Batch, seq uint64, keep func([]byte) []byte) *view {
	n := &view{slices.Clone(v.entries), seq}
	for op := range b.Ops() {
		at, found := n.find(op.Key)
		switch op.Kind {
		case engine.OpPut:
			e := entry{slices.Clone(op.Key), keep(op.Value)}
			if found {
				n.entries[at] = e
			} else {
				n.entries = slices.Insert(n.entries, at, e)
			}
		case engine.OpDelete:
			if found {
				n.entries = slices.Delete(n.entries, at, at+1)
			}
		case engine.OpDeleteRange:
			if to, _ := n.find(op.Value); at < to {
				n.entries = slices.Delete(n.entries, at, to)
			}
		}
	}
	return n
}

// Engine is a store.
type Engine struct {
	fs     vfs.FS
	dir    string
	defect Defect

	mu     sync.Mutex
	lock   io.Closer
	log    vfs.File
	end    int64
	now    *view
	queued []byte // records of Memory batches that are not written
	poison error
	full   bool
	closed bool
}

// Open opens a store, or makes it.
func Open(fsys vfs.FS, dir string, d Defect) (*Engine, error) {
	e := &Engine{fs: fsys, dir: dir, defect: d, now: &view{}}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	if err := fsys.SyncDir(filepath.Dir(dir)); err != nil && d != IgnoreFlushError {
		return nil, err
	}
	var err error
	if d != NoLock {
		if e.lock, err = fsys.Lock(dir); err != nil {
			return nil, err
		}
	}
	if err := e.recover(); err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

func (e *Engine) release() error {
	var errs []error
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}

func (e *Engine) recover() error {
	data, err := e.readAll("data")
	if err == nil {
		switch b, seq, _, ok := e.decode(dataRecord, data, e.defect == NoDataChecksum); {
		case ok:
			e.now = e.now.apply(b, seq)
		case e.defect != CorruptIsAbsent:
			return fmt.Errorf("open %s/data: %w", e.dir, engine.ErrCorrupt)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if e.log, err = e.fs.Open(filepath.Join(e.dir, "log"), vfs.Create); err != nil {
		return err
	}
	if e.defect != NoDirectorySync {
		if err := e.flushed(e.fs.SyncDir(e.dir)); err != nil {
			return err
		}
	}
	log, err := e.readAll("log")
	if err != nil {
		return err
	}
	at := 0
	for at < len(log) {
		b, seq, n, ok := e.decode(logRecord, log[at:], e.defect == NoChecksum)
		if !ok && n > 0 && e.defect == PastTorn {
			at += n
			continue
		}
		if !ok {
			if e.defect == Panics {
				panic("torn record")
			}
			if e.defect == Unopenable {
				return fmt.Errorf("open %s/log: %w at offset %d", e.dir, engine.ErrCorrupt, at)
			}
			break
		}
		if seq > e.now.seq {
			if seq != e.now.seq+1 && e.defect != PastTorn && e.defect != NoChecksum {
				break
			}
			e.now = e.now.apply(b, seq)
		}
		at += n
	}
	e.end = int64(at)
	if e.defect == SequenceReset {
		e.now = &view{e.now.entries, 0}
	}
	if at == len(log) {
		// The tail may not be durable, and is about to be shown.
		return e.flushed(e.log.SyncData())
	}
	if e.defect == UnsafeRecovery {
		if err := e.log.Truncate(0); err != nil {
			return err
		}
		if _, err := e.log.WriteAt(log[:at], 0, vfs.Plain); err != nil {
			return err
		}
		return e.log.SyncData()
	}
	if err := e.log.Truncate(e.end); err != nil {
		return err
	}
	if e.defect == NoTailSync {
		return nil
	}
	return e.flushed(e.log.SyncData())
}

// flushed passes on the error of a flush, unless that is the defect.
func (e *Engine) flushed(err error) error {
	if e.defect == IgnoreFlushError {
		return nil
	}
	return err
}

func (e *Engine) readAll(name string) (data []byte, err error) {
	f, err := e.fs.Open(filepath.Join(e.dir, name), vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data = make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

// Which file a record is for is in its checksum, so that it is not taken for one
// in the other file.
const (
	logRecord  = 'l'
	dataRecord = 'd'
)

func checksum(file byte, p []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{file}, castagnoli), castagnoli, p)
}

func encode(file byte, payload []byte, seq uint64) []byte {
	r := make([]byte, headBytes, headBytes+len(payload))
	binary.LittleEndian.PutUint32(r[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(r[8:], seq)
	r = append(r, payload...)
	binary.LittleEndian.PutUint32(r, checksum(file, r[4:]))
	return r
}

// decode reads a record and returns its length; 0 if that is not known.
func (e *Engine) decode(file byte, p []byte, unchecked bool) (b *engine.Batch, seq uint64, n int, ok bool) {
	if len(p) < headBytes {
		return nil, 0, 0, false
	}
	size := int(binary.LittleEndian.Uint32(p[4:]))
	if size > len(p)-headBytes {
		return nil, 0, 0, false
	}
	n = headBytes + size
	if !unchecked && checksum(file, p[4:n]) != binary.LittleEndian.Uint32(p) {
		return nil, 0, n, false
	}
	b, err := engine.DecodeBatch(p[headBytes:n])
	return b, binary.LittleEndian.Uint64(p[8:]), n, err == nil
}

// usable is the error of a call on a handle that is closed.
func (e *Engine) usable() error {
	if e.closed {
		return engine.ErrClosed
	}
	return nil
}

func (e *Engine) writable() error {
	if err := e.usable(); err != nil {
		return err
	}
	if e.poison != nil {
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, e.poison)
	}
	if e.full && e.defect == StuckFull {
		return engine.ErrNoSpace
	}
	return nil
}

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	next := e.now
	if b.Count() > 0 {
		if e.defect == KeepsBatch {
			next = next.applyKept(b, next.seq+1, func(p []byte) []byte { return p })
		} else {
			next = next.apply(b, next.seq+1)
		}
		if e.defect == HalfBatch {
			e.now = next
		}
	}
	mark := len(e.queued)
	if b.Count() > 0 {
		e.queue(b, next.seq)
	}
	if d != engine.Memory && (e.defect != BufferedInMemory || d == engine.Flushed) {
		if err := e.write(); err != nil {
			e.queued = e.queued[:min(mark, len(e.queued))]
			return err
		}
	}
	if d == engine.Flushed && e.defect != AckBeforeSync {
		if err := e.flush(); err != nil {
			return err
		}
	}
	e.now = next
	b.SetSequence(next.seq)
	return nil
}

func (e *Engine) queue(b *engine.Batch, seq uint64) {
	if e.defect != SplitBatch {
		e.queued = append(e.queued, encode(logRecord, b.Encoded(), seq)...)
		return
	}
	for op := range b.Ops() {
		var one engine.Batch
		switch op.Kind {
		case engine.OpPut:
			one.Put(op.Key, op.Value)
		case engine.OpDelete:
			one.Delete(op.Key)
		case engine.OpDeleteRange:
			one.DeleteRange(op.Key, op.Value)
		}
		e.queued = append(e.queued, encode(logRecord, one.Encoded(), e.now.seq+1)...)
		e.now = &view{e.now.entries, e.now.seq + 1}
	}
	_ = seq
}

// write hands what is queued to the kernel; all of it or nothing.
func (e *Engine) write() error {
	if len(e.queued) == 0 {
		return nil
	}
	if _, err := e.log.WriteAt(e.queued, e.end, vfs.Plain); err != nil && e.defect != IgnoreWriteError {
		if undo := e.log.Truncate(e.end); undo != nil {
			e.poison = undo
		}
		if e.full = errors.Is(err, engine.ErrNoSpace); !e.full {
			e.poison = err
		}
		return err
	}
	e.end += int64(len(e.queued))
	e.queued = e.queued[:0]
	return nil
}

func (e *Engine) flush() error {
	err := e.log.SyncData()
	if err != nil && e.defect == RetryFlush {
		err = e.log.SyncData()
	}
	if err = e.flushed(err); err != nil {
		e.poison = err
		// ErrNoSpace alone would say that nothing was applied.
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, err)
	}
	return nil
}

// Sync implements engine.Engine.
func (e *Engine) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	if err := e.write(); err != nil {
		return err
	}
	return e.flush()
}

// Compact implements engine.Engine.
func (e *Engine) Compact(ctx context.Context, _, _ []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	return e.compact()
}

func (e *Engine) compact() error {
	if e.defect == EarlyTruncate {
		if err := e.empty(); err != nil {
			return err
		}
	}
	if err := e.save(e.dir, e.defect != EarlyTruncate); err != nil {
		return err
	}
	e.queued = e.queued[:0]
	return e.empty()
}

// empty drops the log.
func (e *Engine) empty() error {
	if err := e.log.Truncate(0); err != nil {
		// The log is as it was if the disk is full, and unknown after any other
		// error.
		if !errors.Is(err, engine.ErrNoSpace) {
			e.poison = err
		}
		return err
	}
	e.end = 0
	return e.flush()
}

// save writes the map into a directory. A failed flush of the store poisons it.
func (e *Engine) save(dir string, durable bool) (err error) {
	var b engine.Batch
	for _, en := range e.now.entries {
		b.Put(en.key, en.value)
	}
	aside := filepath.Join(dir, "data.tmp")
	f, err := e.fs.Open(aside, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encode(dataRecord, b.Encoded(), e.now.seq), 0, vfs.Plain)
	if err == nil && durable {
		if err = e.flushed(f.SyncData()); err != nil && dir == e.dir {
			e.poison = err
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = e.fs.Rename(aside, filepath.Join(dir, "data"))
	}
	if err != nil {
		return errors.Join(err, e.fs.Remove(aside))
	}
	if !durable {
		return nil
	}
	if err = e.flushed(e.fs.SyncDir(dir)); err != nil && dir == e.dir {
		e.poison = err
	}
	return err
}

// Checkpoint implements engine.Engine.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return err
	}
	if names, err := e.fs.List(dir); err == nil && len(names) > 0 {
		return fmt.Errorf("%w: %s is not empty", engine.ErrInvalid, dir)
	}
	if err := e.fs.MkdirAll(dir); err != nil {
		return err
	}
	if e.defect != UnsyncedCopy {
		if err := e.flushed(e.fs.SyncDir(filepath.Dir(dir))); err != nil {
			return err
		}
	}
	return e.save(dir, e.defect != UnsyncedCopy)
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits {
	return engine.Traits{
		Name: "tiny", Version: "1",
		Durability: engine.DurabilityOf(engine.Memory, engine.Buffered, engine.Flushed),
		Persistent: true, Checkpoint: true, Compact: true, Sequenced: true,
		Limits: engine.DefaultLimits(),
	}
}

// LastSequence implements engine.Sequenced.
func (e *Engine) LastSequence() uint64 { return e.view().seq }

// Metrics implements engine.Engine.
func (e *Engine) Metrics() engine.Metrics { return engine.Metrics{} }

// Close implements engine.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return err
	}
	err := e.poison
	if err == nil {
		err = e.compact()
	}
	e.closed = true
	return errors.Join(err, e.release())
}
