//go:build !race

package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// The race detector makes sync.Pool forget at random, so these are left to runs
// without it.

func TestGetAllocatesNothing(t *testing.T) {
	e := Open()
	defer e.Close()
	apply(t, e, func(b *engine.Batch) { b.Put([]byte("key"), make([]byte, 100)) })
	there, absent, dst := []byte("key"), []byte("absent"), make([]byte, 0, 128)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := e.Get(there, dst); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a get allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := e.Get(absent, dst); !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a miss allocates %v times", n)
	}
}

// TestPutAllocatesTheRecord: a put with a batch that is used again allocates
// the record, and from time to time a node or a table.
func TestPutAllocatesTheRecord(t *testing.T) {
	e := Open()
	defer e.Close()
	const puts = 50_000
	ctx := context.Background()
	var b engine.Batch
	key, value := make([]byte, 8), make([]byte, 100)
	put := func(i uint64) {
		binary.BigEndian.PutUint64(key, i*0x9e3779b97f4a7c15) // scattered
		b.Reset()
		b.Put(key, value)
		if err := e.Apply(ctx, &b, engine.Memory); err != nil {
			t.Fatal(err)
		}
	}
	i := uint64(0)
	// AllocsPerRun rounds down: this is below 1.25 a put.
	if n := testing.AllocsPerRun(puts/4, func() {
		for range 4 {
			put(i)
			i++
		}
	}); n > 4 {
		t.Errorf("four puts of new keys allocate %v times", n)
	}
	i = 0
	if n := testing.AllocsPerRun(puts/4, func() {
		for range 4 {
			put(i)
			i++
		}
	}); n > 4 {
		t.Errorf("four overwrites allocate %v times", n)
	}
}
