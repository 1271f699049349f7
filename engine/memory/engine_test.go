package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"pgregory.net/rapid"
)

// apply applies what build adds.
func apply(t testing.TB, e *Engine, build func(*engine.Batch)) {
	t.Helper()
	var b engine.Batch
	build(&b)
	if err := e.Apply(context.Background(), &b, engine.Memory); err != nil {
		t.Fatal(err)
	}
}

// TestIndexAndOrderAgree: after any commits, both structures hold the same
// records, and the bytes are counted.
func TestIndexAndOrderAgree(t *testing.T) {
	anyKey := rapid.Map(rapid.IntRange(0, 400), func(n int) []byte { return fmt.Appendf(nil, "%03d", n) })
	rapid.Check(t, func(t *rapid.T) {
		e := Open()
		defer e.Close()
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				var b engine.Batch
				for range rapid.IntRange(0, 300).Draw(t, "operations") {
					key := anyKey.Draw(t, "key")
					switch rapid.IntRange(0, 9).Draw(t, "kind") {
					case 0:
						b.DeleteRange(key, anyKey.Draw(t, "upper"))
					case 1, 2, 3:
						b.Delete(key)
					default:
						b.Put(key, key[:rapid.IntRange(0, 3).Draw(t, "size")])
					}
				}
				if err := e.Apply(context.Background(), &b, engine.Memory); err != nil {
					t.Fatal(err)
				}
			},
			"ingest": func(t *rapid.T) {
				from := rapid.IntRange(0, 400).Draw(t, "from")
				err := e.Ingest(context.Background(), func(yield func([]byte, []byte) bool) {
					for n := from; n < from+50 && yield(fmt.Appendf(nil, "%03d", n), []byte("ingested")); n += 3 {
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			},
			"snapshot": func(t *rapid.T) {
				s, err := e.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				defer e.lockAll()()
				if len(e.tail) > tailMost {
					t.Fatalf("a tail of %d records", len(e.tail))
				}
				view := e.newest()
				bytes := 0
				view.tree.Scan(func(i item) bool {
					if r := e.index.find(e.index.hash(i.rec.key()), i.rec.key()); r != i.rec {
						t.Fatalf("%q is %p in order and %p in the index", i.rec.key(), i.rec, r)
					}
					bytes += i.rec.size()
					return true
				})
				checkIndex(t, e.index, view.tree.Len())
				if bytes != e.recordBytes {
					t.Fatalf("records have %d bytes, counted as %d", bytes, e.recordBytes)
				}
			},
		})
	})
}

// TestGetDuringCommits: while tables grow, entries move up behind deleted ones
// and long batches are applied, a get finds each key that stays, at a number
// that never falls, and a multi-get finds all keys at one number.
func TestGetDuringCommits(t *testing.T) {
	const stay, churn, commits, looks = 64, 4000, 300, 2000
	e := Open()
	defer e.Close()
	stays := make([][]byte, stay)
	for i := range stays {
		stays[i] = fmt.Appendf(nil, "stay%d", i)
	}
	commit := func(n int) error {
		var b engine.Batch
		for i := range 256 {
			b.Put(fmt.Appendf(nil, "churn%d", (n*256+i)%churn), nil)
			b.Delete(fmt.Appendf(nil, "churn%d", (n*256+i+churn/2)%churn))
			if i%4 == 0 {
				b.Put(stays[i/4], strconv.AppendInt(nil, int64(n), 10))
			}
		}
		return e.Apply(context.Background(), &b, engine.Memory)
	}
	if err := commit(0); err != nil {
		t.Fatal(err)
	}
	var acknowledged, looked atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	for r := range 4 {
		wg.Go(func() {
			var value []byte
			seen := int64(0)
			for i := r; !done.Load(); i++ {
				floor := max(seen, acknowledged.Load())
				var err error
				if i%8 == 0 {
					err = e.MultiGet(stays, func(k int, v []byte, present bool) {
						n, err := strconv.ParseInt(string(v), 10, 64)
						if k == 0 {
							seen = n
						}
						if err != nil || !present || n != seen {
							t.Errorf("multi-get of %s: %q after %d (%v)", stays[k], v, seen, err)
						}
					})
				} else {
					// From one end of the batch to the other.
					if value, err = e.Get(stays[i*29%stay], value[:0]); err == nil {
						seen, err = strconv.ParseInt(string(value), 10, 64)
					}
				}
				if err != nil || seen < floor {
					t.Errorf("reader %d: %d after %d (%v)", r, seen, floor, err)
					return
				}
				looked.Add(1)
			}
		})
	}
	for n := 1; (n <= commits || looked.Load() < looks) && !t.Failed(); n++ {
		if err := commit(n); err != nil {
			t.Error(err)
		}
		acknowledged.Store(int64(n))
	}
	done.Store(true)
	wg.Wait()
}

// TestSnapshotCostsNoCopy: what a snapshot allocates, and what the first write
// after it does, hardly depends on how much there is.
func TestSnapshotCostsNoCopy(t *testing.T) {
	for _, entries := range []int{1000, 100_000} {
		e := Open()
		apply(t, e, func(b *engine.Batch) {
			for i := range entries {
				b.Put(fmt.Appendf(nil, "%06d", i), make([]byte, 100))
			}
		})
		e.Metrics() // puts the tail in order, which is the load's debt
		const rounds = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range rounds {
			s, err := e.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			apply(t, e, func(b *engine.Batch) { b.Put(fmt.Appendf(nil, "%06d", i*997%entries), nil) })
			e.Metrics()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		each := (after.TotalAlloc - before.TotalAlloc) / rounds
		t.Logf("%d entries: a snapshot and a write after it allocate %d bytes", entries, each)
		// A path of three nodes is below 16 KiB; the larger store has 12 MB.
		if each > 32<<10 {
			t.Errorf("%d entries: a snapshot and a write after it allocate %d bytes", entries, each)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotHoldsNoLonger: an overwritten record lives as long as a snapshot
// shows it, and no longer.
func TestSnapshotHoldsNoLonger(t *testing.T) {
	e := Open()
	defer e.Close()
	key := []byte("key")
	apply(t, e, func(b *engine.Batch) {
		b.Put([]byte("another"), nil)
		b.Put(key, make([]byte, 1<<20))
	})
	freed := make(chan struct{})
	s, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	runtime.AddCleanup(e.index.find(e.index.hash(key), key), func(c chan struct{}) { close(c) }, freed)
	apply(t, e, func(b *engine.Batch) { b.Delete(key) })
	e.Metrics() // puts the tail in order: the newest state holds it no more
	gone := func(collections int) bool {
		for range collections {
			runtime.GC()
			runtime.Gosched()
			select {
			case <-freed:
				return true
			default:
			}
		}
		return false
	}
	if gone(3) {
		t.Fatal("freed while a snapshot shows it")
	}
	if v, err := s.Get(key, nil); err != nil || len(v) != 1<<20 {
		t.Fatalf("the snapshot shows %d bytes, %v", len(v), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = nil
	if !gone(1000) {
		t.Fatal("held after the snapshot is closed")
	}
}

func TestErrorsOfItsOwn(t *testing.T) {
	ctx := context.Background()
	e, other := Open(), Open()
	defer e.Close()
	defer other.Close()
	s, err := other.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var families engine.Batch
	families.PutIn(1, nil, nil)
	tooLong := make([]byte, engine.MaxKeyBytes+1)
	for _, c := range []struct {
		what string
		err  error
		kind error
		text string
	}{
		{"a snapshot of another engine", e.ApplyIf(ctx, s, engine.ReadSet{}, new(engine.Batch), engine.Memory), engine.ErrInvalid,
			"apply-if: invalid argument: the snapshot is not of this engine"},
		{"families", e.Apply(ctx, &families, engine.Memory), engine.ErrUnsupported, "apply: unsupported: families"},
		{"sync", e.Sync(ctx), engine.ErrUnsupported, "sync: unsupported by the memory engine"},
		{"checkpoint", e.Checkpoint(ctx, t.TempDir()), engine.ErrUnsupported, "checkpoint: unsupported by the memory engine"},
		{"compact", e.Compact(ctx, nil, nil), engine.ErrUnsupported, "compact: unsupported by the memory engine"},
		{"ingest out of order", e.Ingest(ctx, pairs("b", "a")), engine.ErrInvalid,
			`ingest "a": invalid argument: keys must ascend; the one before is "b"`},
		{"ingest of a key too large", e.Ingest(ctx, pairs(string(tooLong))), engine.ErrTooLarge,
			`ingest ` + engine.QuoteKey(tooLong) + `: too large`},
	} {
		if !errors.Is(c.err, c.kind) || c.err.Error() != c.text {
			t.Errorf("%s: %v, want %q", c.what, c.err, c.text)
		}
	}
}

// pairs yields keys, without values.
func pairs(keys ...string) func(func([]byte, []byte) bool) {
	return func(yield func([]byte, []byte) bool) {
		for _, key := range keys {
			if !yield([]byte(key), nil) {
				return
			}
		}
	}
}

// TestTailIsBounded: commits wait for the order to follow, those with a range
// and those that validate one do not wait for what they hold up, and Close ends
// both the waiting and the goroutine behind it (goleak).
func TestTailIsBounded(t *testing.T) {
	e := Open()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				var b engine.Batch
				b.Put(fmt.Appendf(nil, "%d/%08d", w, mixed(i)), nil)
				if i%100 == 99 {
					b.DeleteRange(fmt.Appendf(nil, "%d/", w), fmt.Appendf(nil, "%d/0000", w))
				}
				if err := e.Apply(context.Background(), &b, engine.Memory); err != nil {
					if !errors.Is(err, engine.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for e.LastSequence() < 50_000 {
		e.mu.Lock()
		// Each writer that has seen room may add one batch.
		if n := len(e.tail); n > tailMost+4 {
			t.Errorf("a tail of %d records", n)
		}
		e.mu.Unlock()
		s, err := e.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		reads := engine.ReadSet{Ranges: []engine.Range{{}}}
		if err := e.ApplyIf(context.Background(), s, reads, new(engine.Batch), engine.Memory); err != nil && !errors.Is(err, engine.ErrConflict) {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
}

func mixed(i int) uint32 { return uint32(i) * 2654435761 }
