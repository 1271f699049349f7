package flash

import (
	"context"
	"math"
	"sync"
	"time"
)

// retryAfter is how long the background waits before it looks again, if nothing wakes it.
const retryAfter = time.Second

// background is the goroutine that writes checkpoints, and cleans. Nil channels if there
// is none.
type background struct {
	due  chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

func (b *background) wake() {
	select {
	case b.due <- struct{}{}:
	default:
	}
}

func (b *background) end() {
	if b.stop != nil {
		close(b.stop)
		b.done.Wait()
	}
}

// start starts the background. Close ends it.
func (e *Engine) start() {
	if e.options.Inline {
		return
	}
	b := &e.background
	b.due, b.stop = make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	b.done.Go(func() {
		<-b.stop
		cancel()
	})
	b.done.Go(func() {
		timer := time.NewTimer(retryAfter)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.due:
			case <-timer.C:
			}
			e.maintain(ctx)
			timer.Reset(retryAfter)
		}
	})
	if len(e.paths) == 1 {
		return
	}
	b.done.Go(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			_ = e.resync(ctx) // Paths tells of what goes wrong; it is tried again
			timer.Reset(retryAfter)
		}
	})
}

// work does what is due, or has it done.
func (e *Engine) work() {
	e.mu.Lock()
	due := e.due()
	e.mu.Unlock()
	switch {
	case !due:
	case e.options.Inline:
		e.maintain(context.Background())
	default:
		e.background.wake()
	}
}

// due reports whether a checkpoint or cleaning is due. Under mu.
func (e *Engine) due() bool {
	if e.failed != nil {
		return false
	}
	if e.options.Inline && len(e.present()) < e.options.Replicas {
		return true
	}
	return e.checkpointDue() || e.mayFree || e.excess() > 0 && !e.stuck
}

func (e *Engine) checkpointDue() bool {
	limit := e.options.CheckpointBytes
	if limit == 0 {
		limit = max(256<<20, 3*e.checkpointSize)
	}
	return e.logged >= limit
}

// giveBack gives back what can go, and writes a checkpoint if one is due and none is being
// written, behind which more can. It comes between the segments that are cleaned: only what
// was logged before a checkpoint can be given back, and where much is overwritten cleaning
// never ends.
func (e *Engine) giveBack(ctx context.Context, checkpoint bool) error {
	if err := e.free(); err != nil {
		return err
	}
	e.mu.Lock()
	checkpoint = checkpoint && e.failed == nil && e.checkpointDue()
	e.mu.Unlock()
	// Whoever loads in bulk keeps checkpoints away, and may wait for writers, who wait for
	// cleaning.
	if !checkpoint || !e.checkpointing.TryLock() {
		return nil
	}
	defer e.checkpointing.Unlock()
	if err := e.checkpointLocked(ctx); err != nil {
		return err
	}
	return e.free()
}

// maintain does all that is due.
func (e *Engine) maintain(ctx context.Context) {
	if e.options.Inline {
		_ = e.resync(ctx) // as in the background
	}
	err := e.cleanEach(ctx, false, math.MaxUint64)
	if ctx.Err() != nil {
		return
	}
	err = e.judge(err)
	e.mu.Lock()
	e.trouble = err
	e.stuck = e.excess() > 0
	e.changed.Broadcast()
	e.mu.Unlock()
}
