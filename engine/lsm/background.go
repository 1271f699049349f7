package lsm

import (
	"context"
	"time"
)

// retryAfter is how long the background waits before it tries again what failed, if
// nothing wakes it.
const retryAfter = time.Second

// startBackground starts the goroutines of the background. stopBackground ends them.
func (e *Engine) startBackground() {
	if e.options.Inline {
		return
	}
	b := &e.background
	b.flush, b.compact, b.memory = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	b.stop = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	b.done.Go(func() {
		<-b.stop
		cancel()
	})
	b.done.Go(func() { e.work(ctx, b.flush, e.flushOldest, &e.flushTrouble) })
	b.done.Go(func() { e.work(ctx, b.compact, e.compactOnce, &e.mergeTrouble) })
	b.done.Go(e.takeMemory)
}

// takeMemory takes memory for the memtable whenever it is woken, until the background stops.
func (e *Engine) takeMemory() {
	for {
		select {
		case <-e.background.stop:
			return
		case <-e.background.memory:
		}
		st := e.hold()
		for st.mem.nearEnd() {
			st.mem.takeAhead()
		}
		e.releaseState(st)
	}
}

func (e *Engine) stopBackground() {
	if e.background.stop == nil {
		return
	}
	close(e.background.stop)
	e.background.done.Wait()
}

// trouble is why the last attempt at a kind of work failed; err is nil if it did not. The
// engine's mu guards it.
type trouble struct {
	err error
	// trying says that an attempt is under way; ended is how many have ended.
	trying bool
	ended  uint64
}

// next is how many attempts have ended when the first has that has not begun yet.
func (t *trouble) next() uint64 {
	if t.trying {
		return t.ended + 2
	}
	return t.ended + 1
}

// work does one kind of work whenever there is some, until ctx ends.
func (e *Engine) work(ctx context.Context, wake <-chan struct{}, once func(context.Context) (bool, error), t *trouble) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		for {
			e.mu.Lock()
			t.trying = true
			e.mu.Unlock()
			more, err := once(ctx)
			if ctx.Err() != nil {
				return
			}
			e.tell(err, t)
			if err != nil {
				timer.Reset(retryAfter)
				break
			}
			if !more {
				break
			}
		}
	}
}

// tell keeps what went wrong, or that nothing did, for those who wait for the background.
func (e *Engine) tell(err error, t *trouble) {
	err = e.judge(err)
	e.mu.Lock()
	t.err, t.trying = err, false
	t.ended++
	e.changed.Broadcast()
	e.mu.Unlock()
}

// inlineWork flushes and merges all that is due.
func (e *Engine) inlineWork() {
	run := func(once func(context.Context) (bool, error), t *trouble) {
		for more := true; more; {
			var err error
			more, err = once(context.Background())
			more = more && err == nil
			e.tell(err, t)
		}
	}
	run(e.flushOldest, &e.flushTrouble)
	run(e.compactOnce, &e.mergeTrouble)
}
