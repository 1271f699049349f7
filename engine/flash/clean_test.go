package flash

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestMoveOfWhatHasChanged: a move of a value that was overwritten or deleted while it was
// under way changes nothing, and its copy counts for nothing.
func TestMoveOfWhatHasChanged(t *testing.T) {
	ctx := context.Background()
	o := Options{FS: simdisk.New(simdisk.Options{Seed: 1}), Inline: true, CacheBytes: -1, Compression: NoCompression}
	e, err := Open(ctx, "/data", o)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(build func(b *engine.Batch)) {
		t.Helper()
		var b engine.Batch
		build(&b)
		if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
	}
	apply(func(b *engine.Batch) { b.Put([]byte("a"), []byte("old")); b.Put([]byte("b"), []byte("gone")) })
	payload := []byte{recordOther, recordMoves}
	for key, value := range map[string]string{"\x00a": "old", "\x00b": "gone"} {
		at, ok := e.index.root.Load().get([]byte(key))
		if !ok {
			t.Fatalf("no %q", key)
		}
		payload = appendMove(payload, []byte(key), at, []byte(value))
	}
	apply(func(b *engine.Batch) { b.Put([]byte("a"), []byte("new")); b.Delete([]byte("b")) })
	live := e.live
	e.mu.Lock()
	sequence, at, err := e.log.AppendAt(ctx, payload, engine.Flushed)
	if err == nil {
		err = e.addMoves(payload, at, sequence)
	}
	e.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Get([]byte("a"), nil); err != nil || string(got) != "new" || e.live != live {
		t.Fatalf("a is %q, %v; %d is of use, and was %d", got, err, e.live, live)
	}
	if got, err := e.Get([]byte("b"), nil); err != engine.ErrNotFound {
		t.Fatalf("b is %q, %v", got, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBehindWithNothingToClean: writers that wait for cleaning go on where what was to be
// cleaned has died by itself; also while a checkpoint is due that a bulk load keeps away,
// whose caller may be such a writer.
func TestBehindWithNothingToClean(t *testing.T) {
	for _, loading := range []bool{false, true} {
		t.Run(fmt.Sprint("loading=", loading), func(t *testing.T) { behindWithNothingToClean(t, loading) })
	}
}

func behindWithNothingToClean(t *testing.T, loading bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // for one that fails
	defer cancel()
	e, err := Open(ctx, "/data", Options{FS: simdisk.New(simdisk.Options{Seed: 1}), CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if loading {
		e.checkpointing.Lock()
	}
	e.mu.Lock()
	e.behind = true
	if loading {
		e.logged = 1 << 40
	}
	e.mu.Unlock()
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
		t.Errorf("nothing is to be cleaned: %v", err)
	}
	if loading {
		e.checkpointing.Unlock()
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestCheckpointsWhileCleaning: a checkpoint that comes due while it cleans is written then:
// segments that were logged since the last one could not be given back however long that
// takes. What cleaning moves does not wait in memory, and is flushed by itself only where it
// would.
func TestCheckpointsWhileCleaning(t *testing.T) {
	for _, d := range []engine.Durability{engine.Buffered, engine.Flushed} {
		t.Run(d.String(), func(t *testing.T) { checkpointsWhileCleaning(t, d) })
	}
}

func checkpointsWhileCleaning(t *testing.T, d engine.Durability) {
	const n, checkpointBytes = 50_000, 2 << 20
	ctx := context.Background()
	e, err := Open(ctx, "/data", Options{
		FS: simdisk.New(simdisk.Options{Seed: 1}), Inline: true, CacheBytes: -1, Compression: NoCompression,
		SegmentBytes: 2 << 20, CheckpointBytes: checkpointBytes, Fill: 0.95,
	})
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	value := make([]byte, 1000)
	apply := func() {
		t.Helper()
		if err := e.Apply(ctx, &b, d); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
	for i := range n {
		b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), value)
		if b.Count() == 1000 {
			apply()
		}
	}
	for i := 0; i < n; i += 2 { // of every segment a half goes
		b.Delete(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	before, flushes := e.Metrics(), e.log.Stats().Flushes
	apply()
	after, flushes := e.Metrics(), e.log.Stats().Flushes-flushes
	moved := int(after.BytesCompacted - before.BytesCompacted)
	checkpoints := int(after.Other["checkpoints"] - before.Other["checkpoints"])
	freed := int(after.Other["freed_segments"] - before.Other["freed_segments"])
	t.Logf("%d bytes moved, %d checkpoints, %d segments freed, %d flushes", moved, checkpoints, freed, flushes)
	// One that is due waits until the segment is clean.
	if due := moved / (2 * checkpointBytes); due < 2 || checkpoints < due {
		t.Errorf("%d checkpoints, and at least %d came due", checkpoints, due)
	}
	if freed == 0 {
		t.Error("no segment was freed")
	}
	switch pieces := moved / moveBytes; {
	case d == engine.Buffered && int(flushes) > pieces/2:
		t.Errorf("%d flushes of %d pieces that were moved, which the kernel had", flushes, pieces)
	case d == engine.Flushed && int(flushes) < pieces:
		t.Errorf("%d flushes of %d pieces that were moved, which waited in memory", flushes, pieces)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCleaningWithoutCheckpoints: where the disk is too full for a checkpoint, what is in the
// way of room is cleaned all the same, and the next checkpoint comes when there is some.
func TestCleaningWithoutCheckpoints(t *testing.T) {
	ctx := context.Background()
	d := simdisk.New(simdisk.Options{Seed: 1})
	e, err := Open(ctx, "/data", Options{
		FS: d, Inline: true, CacheBytes: -1, Compression: NoCompression, SegmentBytes: 1 << 20, CheckpointBytes: 1 << 20, Fill: 0.95,
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	var b engine.Batch
	apply := func() {
		t.Helper()
		if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
	for i := range n {
		b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, 1000))
		if b.Count() == 1000 {
			apply()
		}
	}
	counted := func(name string) int { return int(e.Metrics().Other[name]) }
	full := d.Inject(simdisk.Fault{Op: simdisk.OpOpen, Path: indexTemp, Effect: simdisk.NoSpace, Sticky: true})
	checkpoints, cleaned := counted("checkpoints"), counted("cleaned_segments")
	for i := 0; i < n; i += 2 {
		b.Delete(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	apply()
	if full.Fired() != 1 || counted("checkpoints") != checkpoints {
		t.Fatalf("%d checkpoints were tried in one round, and %d written; want one, and none", full.Fired(), counted("checkpoints")-checkpoints)
	}
	if got := counted("cleaned_segments") - cleaned; got < 3 {
		t.Errorf("%d segments were cleaned while no checkpoint could be written", got)
	}
	full.Remove()
	b.Put([]byte("key"), []byte("value"))
	apply()
	if counted("checkpoints") == checkpoints {
		t.Error("no checkpoint was written when there was room again")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
