package cowbtree_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestFullDisk: each write to the data file in turn meets a full disk, once. What is
// refused is absent, what is not is there, and so it is after the next opening.
func TestFullDisk(t *testing.T) {
	writes := 60
	if cowbtree.RaceEnabled {
		writes = 8
	}
	for nth := 1; nth <= writes; nth++ {
		l := newLife(t, uint64(nth))
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "/store/data", Nth: nth, Effect: simdisk.NoSpace})
		for left := 20; left > 0; {
			err := l.step()
			if err != nil && !errors.Is(err, engine.ErrNoSpace) {
				t.Fatal(err)
			}
			if err != nil {
				l.undo()
				if err := l.last().compare(l.e); err != nil {
					t.Fatalf("write %d: after one that was refused: %v", nth, err)
				}
			}
			if fault.Fired() > 0 {
				left--
			}
		}
		if err := l.e.Close(); err != nil {
			t.Fatal(err)
		}
		inspect(t, l.disk, "/store")
		l.e = open(t, "/store", smallest(l.disk))
		if err := errors.Join(l.last().compare(l.e), l.e.Close()); err != nil {
			t.Fatalf("write %d: after the next opening: %v", nth, err)
		}
	}
}

// TestRefusedWrite: after the device refuses a write to the data file nothing is
// taken any more, and the next opening shows what had been acknowledged.
func TestRefusedWrite(t *testing.T) {
	for nth := 1; nth <= 12; nth++ {
		l := newLife(t, uint64(nth))
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "/store/data", Nth: nth, Effect: simdisk.EIO})
		var err error
		for err == nil {
			err = l.step()
		}
		if fault.Fired() == 0 {
			t.Fatal(err)
		}
		l.undo()
		if err := l.step(); !errors.Is(err, engine.ErrReadOnly) {
			t.Fatalf("write %d: the operation after one that was refused: %v", nth, err)
		}
		l.undo()
		if err := l.e.Close(); err == nil {
			t.Errorf("write %d: Close does not tell what the device refused", nth)
		}
		l.e = open(t, "/store", smallest(l.disk))
		if err := errors.Join(l.last().compare(l.e), l.e.Close()); err != nil {
			t.Fatalf("write %d: after the next opening: %v", nth, err)
		}
	}
}

// TestBulkLoadOfOneMetaPage: right after a bulk load, which Sync follows or not, the
// process is killed, and one meta page alone has the load. Without that page the store
// must not open as if there had been no load.
func TestBulkLoadOfOneMetaPage(t *testing.T) {
	ctx := context.Background()
	for _, synced := range []bool{false, true} {
		refused := 0
		for slot := range int64(3) {
			d := simdisk.New(simdisk.Options{Seed: 1})
			e := open(t, "/store", cowbtree.Options{FS: d, Inline: true})
			err := e.Ingest(ctx, entriesOf(map[string]string{"loaded": "value"}))
			if synced && err == nil {
				err = e.Sync(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			d = d.Kill()
			_ = e.Close() // of the process that is gone
			if err := d.Rot("/store/data", slot*metaSlot+40, 1); err != nil {
				t.Fatal(err)
			}
			e, err = cowbtree.Open(ctx, "/store", cowbtree.Options{FS: d, Inline: true})
			if err != nil {
				refused++
				continue
			}
			if _, err := e.Get([]byte("loaded"), nil); err != nil {
				t.Errorf("meta slot %d is damaged, and what was loaded is gone: %v", slot, err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		if refused != 1 {
			t.Errorf("synced %v: %d of the meta pages are needed, want 1", synced, refused)
		}
	}
}

// TestCommitsDuringACheckpoint: commits that come while a checkpoint is under way are
// not in it, and the log must keep them.
func TestCommitsDuringACheckpoint(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := open(t, "/store", cowbtree.Options{FS: d, SegmentBytes: 16 << 10, CheckpointBytes: 1 << 30})
	ctx := context.Background()
	put := func(i int) {
		t.Helper()
		var b engine.Batch
		b.Put([]byte("number"), binary.BigEndian.AppendUint64(nil, uint64(i)))
		b.Put(fmt.Appendf(nil, "key%03d", i), make([]byte, 800))
		if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
			t.Error(err)
		}
	}
	put(0)
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "/store/data", Effect: simdisk.Hang})
	compacted := make(chan error, 1)
	go func() { compacted <- e.Compact(ctx, []byte("x"), []byte("y")) }() // which begins with a checkpoint
	<-hang.Met()
	const last = 200
	for i := range last {
		put(1 + i)
	}
	d.Mark("commits")
	hang.Release()
	if err := <-compacted; err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	marked, cuts := false, 0
	for w := d.Walk(); w.Next(); {
		if marked = marked || w.Event().Kind == simdisk.EventMark; !marked {
			continue
		}
		for _, fate := range []simdisk.Fate{simdisk.Lost, simdisk.Kept} {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = fate
			}
			e := open(t, "/store", cowbtree.Options{FS: w.Crash(fates, 1), Inline: true})
			got, err := e.Get([]byte("number"), nil)
			if err := errors.Join(err, e.Close()); err != nil {
				t.Fatal(err)
			}
			if n := binary.BigEndian.Uint64(got); n != last {
				t.Fatalf("after a power cut the last commit is %d, want %d", n, last)
			}
			cuts++
		}
	}
	if cuts < 10 {
		t.Errorf("%d cuts", cuts)
	}
}

// TestGetBesideChangesInPlace: a value is written over in its place again and again,
// each time with another byte; a get sees one of the values, not a piece of each.
func TestGetBesideChangesInPlace(t *testing.T) {
	const changes = 2000 // that the gets have seen
	e := open(t, t.TempDir(), cowbtree.Options{})
	ctx := context.Background()
	key := []byte("key")
	put := func(n byte) error {
		var b engine.Batch
		b.Put(key, bytes.Repeat([]byte{n}, 1000))
		return e.Apply(ctx, &b, engine.Memory)
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	stop, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := byte(1); ; n++ {
			select {
			case <-stop:
				wrote <- nil
				return
			default:
			}
			if err := put(n); err != nil {
				wrote <- err
				return
			}
		}
	}()
	var value []byte
	before := byte(0)
	for seen := 0; seen < changes && len(wrote) == 0 && !t.Failed(); {
		var err error
		if value, err = e.Get(key, value[:0]); err != nil || len(value) != 1000 || bytes.Count(value, value[:1]) != 1000 {
			t.Errorf("a get shows %d bytes that were never put together (%v)", len(value), err)
			break
		}
		if value[0] != before {
			before = value[0]
			seen++
		}
	}
	close(stop)
	if err := errors.Join(<-wrote, e.Close()); err != nil {
		t.Fatal(err)
	}
}
