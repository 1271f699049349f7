package flash

import (
	"context"
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
// cleaned has died by itself.
func TestBehindWithNothingToClean(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // for one that fails
	defer cancel()
	e, err := Open(ctx, "/data", Options{FS: simdisk.New(simdisk.Options{Seed: 1}), CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.behind = true
	e.mu.Unlock()
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
		t.Errorf("nothing is to be cleaned: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
