package lifetime

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRelease = errors.New("of release")

// released counts the calls of a release that fails.
func released(n *int) func() error {
	return func() error { *n++; return errRelease }
}

func TestCloseWithoutHandles(t *testing.T) {
	var l Lifetime
	var n int
	if err := l.Enter(); err != nil {
		t.Fatal(err)
	}
	l.Hold(Iterator)
	l.Hold(Snapshot)
	if i, s := l.Open(); i != 1 || s != 1 {
		t.Fatalf("open: %d iterators, %d snapshots", i, s)
	}
	l.Exit()
	for _, h := range []Handle{Snapshot, Iterator} {
		if err := l.Drop(h); err != nil {
			t.Fatalf("drop of an open engine's handle: %v", err)
		}
	}
	if err := l.Close(released(&n)); err != errRelease || n != 1 {
		t.Fatalf("close: %v; released %d times", err, n)
	}
	if err := l.Close(released(&n)); err != engine.ErrClosed || n != 1 {
		t.Fatalf("second close: %v; released %d times", err, n)
	}
	if err := l.Enter(); err != engine.ErrClosed {
		t.Fatalf("enter after close: %v", err)
	}
}

func TestLastHandleReleases(t *testing.T) {
	for first, last := range map[Handle]Handle{Iterator: Snapshot, Snapshot: Iterator} {
		var l Lifetime
		var n int
		if err := l.Enter(); err != nil {
			t.Fatal(err)
		}
		l.Hold(first)
		l.Hold(first)
		l.Hold(last)
		l.Exit()
		err := l.Close(released(&n))
		want := "close: in use: 2 iterators and 1 snapshots are open; the store closes with the last of them"
		if first == Snapshot {
			want = "close: in use: 1 iterators and 2 snapshots are open; the store closes with the last of them"
		}
		if !errors.Is(err, engine.ErrInUse) || err.Error() != want || n != 0 {
			t.Fatalf("close: %v; released %d times", err, n)
		}
		if err := l.Close(released(&n)); err != engine.ErrClosed {
			t.Fatalf("second close: %v", err)
		}
		if err := l.Drop(first); err != nil || n != 0 {
			t.Fatalf("first drop: %v; released %d times", err, n)
		}
		l.Hold(Iterator) // on the snapshot or beside the iterator that is still held
		for _, h := range []Handle{first, Iterator} {
			if err := l.Drop(h); err != nil || n != 0 {
				t.Fatalf("drop: %v; released %d times", err, n)
			}
		}
		if err := l.Drop(last); err != errRelease || n != 1 {
			t.Fatalf("last drop: %v; released %d times", err, n)
		}
		if i, s := l.Open(); i != 0 || s != 0 {
			t.Fatalf("open: %d iterators, %d snapshots", i, s)
		}
	}
}

func TestCloseWaitsForCalls(t *testing.T) {
	var l Lifetime
	if err := l.Enter(); err != nil {
		t.Fatal(err)
	}
	var under atomic.Bool
	under.Store(true)
	closed := make(chan error)
	go func() {
		closed <- l.Close(func() error {
			if under.Load() {
				return errors.New("released during a call")
			}
			return nil
		})
	}()
	for l.mu.TryRLock() { // until Close waits
		l.mu.RUnlock()
		runtime.Gosched()
	}
	l.Hold(Iterator) // by the call under way: Close must count it
	under.Store(false)
	l.Exit()
	if err := <-closed; !errors.Is(err, engine.ErrInUse) {
		t.Fatalf("close: %v", err)
	}
	if err := l.Drop(Iterator); err != nil {
		t.Fatal(err)
	}
}

// TestConcurrent: whatever meets Close, the release comes once, when no call is
// under way and no handle is held, and is told to exactly one caller.
func TestConcurrent(t *testing.T) {
	for range 200 {
		var l Lifetime
		var users, releases, told, closes atomic.Int64
		release := func() error {
			releases.Add(1)
			if n := users.Load(); n != 0 {
				t.Errorf("released with %d users", n)
			}
			return errRelease
		}
		tell := func(err error) {
			switch {
			case err == errRelease:
				told.Add(1)
			case err != nil && err != engine.ErrClosed && !errors.Is(err, engine.ErrInUse):
				t.Errorf("unexpected: %v", err)
			}
		}
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				h := Handle(w % 2)
				for l.Enter() == nil {
					users.Add(1)
					l.Hold(h)
					l.Exit()
					runtime.Gosched()
					l.Hold(Iterator) // as an iterator of the snapshot that is held
					if err := l.Drop(Iterator); err != nil {
						t.Errorf("drop of one handle of two: %v", err)
					}
					users.Add(-1)
					tell(l.Drop(h))
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				err := l.Close(release)
				if err != engine.ErrClosed {
					closes.Add(1)
				}
				tell(err)
			})
		}
		wg.Wait()
		if releases.Load() != 1 || told.Load() != 1 || closes.Load() != 1 {
			t.Fatalf("released %d times, told %d times, closed %d times", releases.Load(), told.Load(), closes.Load())
		}
		if i, s := l.Open(); i != 0 || s != 0 {
			t.Fatalf("open: %d iterators, %d snapshots", i, s)
		}
	}
}
