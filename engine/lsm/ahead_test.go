package lsm

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// TestMemoryIsTakenAhead: behind the writer of a memtable somebody takes memory before it is
// needed, also in a memtable whose memory was another's; none does for a small store.
func TestMemoryIsTakenAhead(t *testing.T) {
	e, err := Open(context.Background(), t.TempDir(), Options{MemtableBytes: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	put := func(to int64) *memtable {
		t.Helper()
		var b engine.Batch
		for i := 0; e.state.Load().mem.bytes() < to; i++ {
			b.Reset()
			b.Put([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, make([]byte, 10000))
			if err := e.Apply(context.Background(), &b, engine.Memory); err != nil {
				t.Fatal(err)
			}
		}
		return e.state.Load().mem
	}
	if m := put(aheadFrom / 2); m.ahead.Load() != 0 {
		t.Errorf("%d bytes were taken ahead of a small store", m.ahead.Load())
	}
	m := put(2 * aheadFrom)
	for end := time.Now().Add(30 * time.Second); m.nearEnd(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are used, and %d were taken", m.bytes(), m.ahead.Load())
		}
	}
	// What another one had of the memory stays taken.
	ahead := m.ahead.Load()
	memory := &m.trie.memory.Bytes()[0]
	for rounds := 0; ; rounds++ {
		put(1 << 20)
		if m := e.state.Load().mem; &m.trie.memory.Bytes()[0] == memory && rounds > 0 {
			if m.ahead.Load() < ahead {
				t.Errorf("%d bytes count as taken, and %d were", m.ahead.Load(), ahead)
			}
			break
		}
		if rounds == 10 {
			t.Fatal("the memory is not used again")
		}
		if err := e.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
