package lsm

import (
	"context"
	"time"
)

// retryAfter is how long the background waits before it tries again what failed, if
// nothing wakes it.
const retryAfter = time.Second

// startBackground starts the goroutines that flush and merge. stopBackground ends them.
func (e *Engine) startBackground() {
	if e.options.Inline {
		return
	}
	b := &e.background
	b.flush, b.compact, b.stop = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	b.done.Go(func() {
		<-b.stop
		cancel()
	})
	b.done.Go(func() { e.work(ctx, b.flush, e.flushOldest, &e.troubled) })
	b.done.Go(func() { e.work(ctx, b.compact, e.compactOnce, &e.mergeTrouble) })
}

func (e *Engine) stopBackground() {
	if e.background.stop == nil {
		return
	}
	close(e.background.stop)
	e.background.done.Wait()
}

// work does one kind of work whenever there is some, until ctx ends.
func (e *Engine) work(ctx context.Context, wake <-chan struct{}, once func(context.Context) (bool, error), trouble *error) {
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
			more, err := once(ctx)
			if ctx.Err() != nil {
				return
			}
			e.tell(err, trouble)
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
func (e *Engine) tell(err error, trouble *error) {
	err = e.judge(err)
	e.mu.Lock()
	*trouble = err
	e.changed.Broadcast()
	e.mu.Unlock()
}

// inlineWork flushes and merges all that is due.
func (e *Engine) inlineWork() {
	run := func(once func(context.Context) (bool, error), trouble *error) {
		for more := true; more; {
			var err error
			more, err = once(context.Background())
			more = more && err == nil
			e.tell(err, trouble)
		}
	}
	run(e.flushOldest, &e.troubled)
	run(e.compactOnce, &e.mergeTrouble)
}
