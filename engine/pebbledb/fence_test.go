package pebbledb_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
)

const faultDir = "/store"

var tiny = pebbledb.Options{CacheBytes: 1 << 20, MemTableBytes: 64 << 10}

// faults lets through the first healthy changes of files, then fails one, or
// all that follow.
type faults struct {
	healthy int64
	lasting bool
	count   atomic.Int64
	on      atomic.Bool
}

// MaybeError fails an operation or not.
func (f *faults) MaybeError(op errorfs.Op) error {
	if !f.on.Load() || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	if n := f.count.Add(1); n > f.healthy && (f.lasting || n == f.healthy+1) {
		return fmt.Errorf("change %d of files: %w", n, syscall.EIO)
	}
	return nil
}

// String describes it.
func (f *faults) String() string { return fmt.Sprintf("fails after %d", f.healthy) }

// run commits numbered batches until one fails, reads back what was
// acknowledged, and crashes. It returns the last batch acknowledged as Flushed,
// the last attempted, and the disk after the crash.
func run(t *testing.T, f *faults) (flushed, attempted int, crashed vfs.FS) {
	t.Helper()
	disk := vfs.NewCrashableMem()
	o := tiny
	o.FS = errorfs.Wrap(disk, f)
	e, err := pebbledb.Open(faultDir, o)
	if err != nil {
		t.Fatal(err)
	}
	f.on.Store(true)
	defer f.on.Store(false)
	value := make([]byte, 3000)
	applied := 0
	for i := 1; i <= 300; i++ {
		attempted = i
		d := engine.Memory
		if i%7 == 0 {
			d = engine.Flushed
		}
		var b engine.Batch
		b.Put([]byte("last"), strconv.AppendInt(nil, int64(i), 10))
		b.Put(fmt.Appendf(nil, "%03d", i), value)
		if err = e.Apply(t.Context(), &b, d); err != nil {
			break
		}
		applied = i
		if d == engine.Flushed {
			flushed = i
		}
		if i == 200 {
			if err = e.Compact(t.Context(), nil, nil); err != nil {
				break
			}
		}
	}
	if err != nil && !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("batch %d: want %v, got %v", attempted, engine.ErrReadOnly, err)
	}
	if err != nil {
		var b engine.Batch
		b.Put([]byte("later"), nil)
		if err := e.Apply(t.Context(), &b, engine.Memory); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("a write after the failure: want %v, got %v", engine.ErrReadOnly, err)
		}
		if err := e.Sync(t.Context()); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("Sync after the failure: want %v, got %v", engine.ErrReadOnly, err)
		}
	}
	for i := 1; i <= applied; i++ {
		if got, err := e.Get(fmt.Appendf(nil, "%03d", i), nil); err != nil || len(got) != len(value) {
			t.Errorf("batch %d reads as %d bytes (%v)", i, len(got), err)
		}
	}
	crashed = disk.CrashClone(vfs.CrashCloneCfg{})
	if closeErr := e.Close(); err != nil && !errors.Is(closeErr, engine.ErrReadOnly) {
		t.Errorf("close after the failure: want %v, got %v", engine.ErrReadOnly, closeErr)
	}
	return flushed, attempted, crashed
}

// TestFailedChanges fails each change of a file in turn, once and for good. The
// process must live on, the engine must close, and what a crash then leaves must
// be a prefix of the batches, with all that were acknowledged as Flushed.
func TestFailedChanges(t *testing.T) {
	all := new(faults)
	all.healthy = 1 << 60
	run(t, all)
	total := all.count.Load()
	if total < 100 { // about 200; the log writes what has come together
		t.Fatalf("the healthy run made only %d changes of files", total)
	}
	step := int64(7)
	if testing.Short() {
		step = 50
	}
	for healthy := int64(0); healthy < total; healthy += step {
		for _, lasting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/lasting=%v", healthy, lasting), func(t *testing.T) {
				flushed, attempted, crashed := run(t, &faults{healthy: healthy, lasting: lasting})
				o := tiny
				o.FS = crashed
				e, err := pebbledb.Open(faultDir, o)
				if err != nil {
					t.Fatalf("open after the crash: %v", err)
				}
				defer e.Close()
				last := 0
				switch text, err := e.Get([]byte("last"), nil); {
				case err == nil:
					last, _ = strconv.Atoi(string(text))
				case !errors.Is(err, engine.ErrNotFound):
					t.Fatal(err)
				}
				if last < flushed || last > attempted {
					t.Errorf("recovered up to batch %d; flushed were %d, attempted %d", last, flushed, attempted)
				}
				for i := 1; i <= attempted; i++ {
					if _, err := e.Get(fmt.Appendf(nil, "%03d", i), nil); (err == nil) != (i <= last) {
						t.Errorf("recovered up to batch %d, and batch %d is there: %v (%v)", last, i, err == nil, err)
					}
				}
			})
		}
	}
}

// TestFullDisk lets tables, and nothing else, find no room for a while.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	room := make(chan struct{}, 1) // a table found no room
	o := tiny
	o.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !full.Load() {
			return nil
		}
		if op.Kind == errorfs.OpGetDiskUsage {
			return vfs.ErrUnsupported
		}
		if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			select {
			case room <- struct{}{}:
			default:
			}
			return syscall.ENOSPC
		}
		return nil
	}))
	e, err := pebbledb.Open(faultDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	put := func(i int) error {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "%03d", i), make([]byte, 3000))
		return e.Apply(t.Context(), &b, engine.Memory)
	}
	full.Store(true)
	const held = 40 // more than one memtable, fewer than are held back
	for i := range held {
		if err := put(i); err != nil && !errors.Is(err, engine.ErrNoSpace) {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	<-room
	<-room // the second attempt at a table comes after the first was noted
	if err := put(held); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("write on a full disk: want %v, got %v", engine.ErrNoSpace, err)
	}
	if _, err := e.Get([]byte("000"), nil); err != nil {
		t.Errorf("read on a full disk: %v", err)
	}
	full.Store(false)
	for i := 0; i < 200; {
		switch err := put(i); {
		case err == nil:
			i++
		case errors.Is(err, engine.ErrNoSpace): // Pebble has not tried again yet
			time.Sleep(time.Millisecond)
		default:
			t.Fatalf("write %d once there is room: %v", i, err)
		}
	}
	if err := e.Sync(t.Context()); err != nil {
		t.Errorf("sync once there is room: %v", err)
	}
}
