package epoch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReaderKeeps: nothing is freed while a reader is in who was there before it was
// retired, and everything is when that one has left.
func TestReaderKeeps(t *testing.T) {
	var d Domain
	for range 3 { // whichever set counts
		freed := 0
		token := d.Enter()
		d.Retire(func() { freed++ })
		later := d.Enter()
		d.Poll()
		if freed != 0 {
			t.Fatal("freed under a reader")
		}
		d.Exit(token)
		d.Poll()
		d.Exit(later)
		d.Poll()
		if freed != 1 {
			t.Fatalf("freed %d times when all had left", freed)
		}
	}
}

// TestWait: what was retired is freed when Wait returns.
func TestWait(t *testing.T) {
	var d Domain
	freed := 0
	token := d.Enter()
	for range 5 {
		d.Retire(func() { freed++ })
	}
	var wg sync.WaitGroup
	wg.Go(d.Wait)
	d.Exit(token)
	wg.Wait()
	if freed != 5 {
		t.Fatalf("freed %d of 5", freed)
	}
	d.Wait() // with nothing to wait for
}

// TestConcurrent: readers of a cell that is exchanged all the time never see one that
// was freed.
func TestConcurrent(t *testing.T) {
	type cell struct{ freed atomic.Bool }
	var d Domain
	var current atomic.Pointer[cell]
	current.Store(new(cell))
	var stop atomic.Bool
	var reads atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				token := d.Enter()
				c := current.Load()
				runtime.Gosched()
				if c.freed.Load() {
					t.Error("a reader has what was freed")
				}
				d.Exit(token)
				reads.Add(1)
			}
		})
	}
	for reads.Load() == 0 {
		runtime.Gosched()
	}
	frees := 0
	for range 20_000 {
		old := current.Swap(new(cell))
		d.Retire(func() { old.freed.Store(true); frees++ })
	}
	stop.Store(true)
	wg.Wait()
	d.Wait()
	if frees != 20_000 || reads.Load() == 0 {
		t.Fatalf("%d of 20,000 freed, %d reads", frees, reads.Load())
	}
}

func BenchmarkEnterExit(b *testing.B) {
	var d Domain
	b.ReportAllocs()
	for b.Loop() {
		d.Exit(d.Enter())
	}
}
