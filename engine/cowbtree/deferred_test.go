package cowbtree

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// unneeded returns how many dead pages there are that nobody needs.
func (b *beside) unneeded() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.history.deferred {
		n += len(list)
	}
	return n
}

// TestUnneededPagesAreFree: pages that only a snapshot had which is gone count as free in
// the next checkpoint, though they are still to be freed.
func TestUnneededPagesAreFree(t *testing.T) {
	b := newBeside(t)
	b.fill('a')
	b.must(b.checkpoint(context.Background()))
	s, err := b.Snapshot()
	b.must(err)
	b.fill('b')
	b.must(b.checkpoint(context.Background()))
	b.must(b.CreateSnapshot(context.Background(), "name")) // a checkpoint that writes no page
	b.mu.Lock()
	b.history.readDone(s.(*Snapshot).snapshot) // as Close does, which then frees them
	b.mu.Unlock()
	if b.unneeded() == 0 {
		t.Fatal("no page is to be freed")
	}
	b.must(b.checkpoint(context.Background()))
	if n := b.unneeded(); n > 0 {
		t.Errorf("%d pages are still to be freed behind a checkpoint", n)
	}
	b.must(b.life.Drop(lifetime.Snapshot))
	b.must(b.checkMemory())
	b.end()
}

// TestUnneededPagesAreFreedInTheBackground: a snapshot that goes leaves more pages than its
// Close frees; the others go soon, though nothing is written any more.
func TestUnneededPagesAreFreedInTheBackground(t *testing.T) {
	b := newBeside(t)
	b.must(b.Close())
	b.o.Inline, b.o.CacheBytes = false, 64<<20
	b.open()
	fill := func(value byte) {
		for i := range besideKeys {
			b.put(besideKey(i), slices.Repeat([]byte{value}, 500))
		}
	}
	fill('a')
	s, err := b.Snapshot()
	b.must(err)
	fill('b')
	b.mu.Lock()
	n := len(s.(*Snapshot).snapshot.dead)
	b.mu.Unlock()
	if n <= freeSlice {
		t.Fatalf("%d pages are only the snapshot's, and more than %d should be", n, freeSlice)
	}
	b.must(s.Close())
	if left := b.unneeded(); left > n-freeSlice {
		t.Errorf("Close has freed %d pages of %d", n-left, n)
	}
	for end := time.Now().Add(30 * time.Second); b.unneeded() > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d pages are still to be freed", b.unneeded())
		}
	}
	b.must(b.checkMemory())
	b.end()
}

// TestCommitsPass: what gives way goes on when all commits have passed that were waiting.
func TestCommitsPass(t *testing.T) {
	b := newBeside(t)
	const commits = 8
	var done sync.WaitGroup
	passed := 0 // guarded by mu
	b.mu.Lock()
	for range commits {
		done.Go(func() {
			b.lockCommits()
			passed++
			b.mu.Unlock()
		})
	}
	for b.waiting.Load() < commits {
		runtime.Gosched()
	}
	b.giveWay()
	if passed != commits {
		t.Errorf("%d commits of %d have passed", passed, commits)
	}
	b.giveWay() // nobody waits
	b.mu.Unlock()
	done.Wait()
	b.end()
}

// TestCommitIsWokenByRoom: a commit waits for memory, which comes by a snapshot that goes,
// so that there is nothing for a checkpoint to do any more.
func TestCommitIsWokenByRoom(t *testing.T) {
	b := newBeside(t)
	b.background.wake, b.background.stop = make(chan struct{}, 1), make(chan struct{})
	b.mu.Lock()
	b.logged = 8 * b.o.CheckpointBytes // as if there were no room
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.put([]byte("key"), []byte("value"))
	}()
	for len(b.background.wake) == 0 {
		runtime.Gosched()
	}
	b.mu.Lock() // it waits by now
	b.logged = 0
	b.mu.Unlock()
	b.background.done.Go(b.work)
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("the commit still waits")
		b.mu.Lock()
		b.settled.Broadcast()
		b.mu.Unlock()
		<-done
	}
	close(b.background.stop)
	b.background.done.Wait()
	b.background.wake, b.background.stop = nil, nil
	b.end()
}
