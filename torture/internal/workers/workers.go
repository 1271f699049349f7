// Package workers runs a mode of torture on all cores, and notices an engine that
// does not return.
package workers

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Patience is how long one task may take. It is generous: a task takes
// milliseconds.
const Patience = time.Minute

// Hang is a task that did not end.
type Hang[T any] struct {
	Task T
	// Stacks are those of all goroutines.
	Stacks string
}

type current[T any] struct {
	task  T
	since time.Time
}

// Run calls work in GOMAXPROCS goroutines and waits for all of them. Each work
// calls begin before each task. progress is called twice a second; it may be nil.
//
// If a task takes longer than patience, Run returns it at once. Its goroutine is
// left, since nothing can end it; the others are to end by themselves.
func Run[T any](patience time.Duration, work func(begin func(T)), progress func()) *Hang[T] {
	n := runtime.GOMAXPROCS(0)
	tasks := make([]atomic.Pointer[current[T]], n)
	ended := make(chan struct{}, n)
	for i := range n {
		go func() {
			work(func(t T) { tasks[i].Store(&current[T]{t, time.Now()}) })
			tasks[i].Store(nil)
			ended <- struct{}{}
		}()
	}
	tick := time.NewTicker(min(patience, 500*time.Millisecond))
	defer tick.Stop()
	for n > 0 {
		select {
		case <-ended:
			n--
			continue
		case <-tick.C:
		}
		for i := range tasks {
			if c := tasks[i].Load(); c != nil && time.Since(c.since) > patience {
				stacks := make([]byte, 1<<20)
				return &Hang[T]{c.task, string(stacks[:runtime.Stack(stacks, true)])}
			}
		}
		if progress != nil {
			progress()
		}
	}
	return nil
}
