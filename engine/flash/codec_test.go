package flash

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestTries: what does not pack is soon tried now and then only, what packs is found again,
// and all of it is read as it was put.
func TestTries(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e, err := Open(t.Context(), "/data", Options{FS: d, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	noise, even := make([]byte, 1000), make([]byte, 1000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	put := func(key byte, value []byte) (packed bool) {
		t.Helper()
		var b engine.Batch
		b.Put([]byte{key}, value)
		if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
		got, err := e.Get([]byte{key}, nil)
		if err != nil || string(got) != string(value) {
			t.Fatalf("key %d is read as %d other bytes: %v", key, len(got), err)
		}
		return e.tries.failed.Load() == 0
	}
	if !put(0, even) {
		t.Error("a value of zeros is not packed")
	}
	for key := range byte(mostFailed) {
		put(key, noise)
	}
	if n := e.tries.batches.Load(); n != 0 {
		t.Errorf("%d of the first batches were not tried", n)
	}
	until := 1
	for !put(1, even) {
		until++
	}
	if until != triesApart {
		t.Errorf("what packs is packed again at the %dth batch, not the %dth", until, triesApart)
	}
	for key := range byte(2 * mostFailed) {
		if short := make([]byte, leastPacked-1); !put(key, short) {
			t.Fatal("values that are too short for packing count as tries that failed")
		}
	}
	// Within a batch: what packs, behind much that does not, is found.
	var b engine.Batch
	for key := range byte(100) {
		if key < 50 {
			b.Put([]byte{key}, noise)
		} else {
			b.Put([]byte{key}, even)
		}
	}
	payload, packed, err := new(encoder).encode(&b, LZ4, new(tries))
	if err != nil || !packed {
		t.Fatalf("a batch is not packed: %v", err)
	}
	if most := 50*1020 + triesApart*1020 + 50*40; len(payload) > most {
		t.Errorf("a batch of which half packs has %d bytes; at most %d were expected", len(payload), most)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
