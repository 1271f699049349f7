package protocol

import (
	"context"
	"hash/maphash"
	"slices"

	"golang.org/x/sync/semaphore"
)

const (
	stripes = 256
	// everyone is more than will ever hold the gate at one time.
	everyone = 1 << 30
)

// locks keep those apart who read and then write what depends on it. Who writes one thing
// holds its stripe, and a share of the gate; who removes many things that it has to find
// first holds all of the gate.
type locks struct {
	seed    maphash.Seed
	gate    *semaphore.Weighted
	stripes [stripes]chan struct{}
}

func newLocks() *locks {
	l := &locks{seed: maphash.MakeSeed(), gate: semaphore.NewWeighted(everyone)}
	for i := range l.stripes {
		l.stripes[i] = make(chan struct{}, 1)
	}
	return l
}

// hold locks things by their keys, in one order, and returns what unlocks them.
func (l *locks) hold(ctx context.Context, keys ...string) (release func(), err error) {
	if err := l.gate.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	var wanted, held []int
	for _, key := range keys {
		wanted = append(wanted, int(maphash.String(l.seed, key)%stripes))
	}
	slices.Sort(wanted)
	release = func() {
		for _, i := range held {
			<-l.stripes[i]
		}
		l.gate.Release(1)
	}
	for _, i := range slices.Compact(wanted) {
		select {
		case l.stripes[i] <- struct{}{}:
			held = append(held, i)
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

// holdAll locks everything.
func (l *locks) holdAll(ctx context.Context) (release func(), err error) {
	if err := l.gate.Acquire(ctx, everyone); err != nil {
		return nil, err
	}
	return func() { l.gate.Release(everyone) }, nil
}
