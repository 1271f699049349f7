package local

import (
	"context"
	"hash/maphash"
)

const stripes = 256

// locks are the locks of keys. A write holds the lock of its key from the check of
// its condition until its commit is applied.
type locks struct {
	seed maphash.Seed
	held [stripes]chan struct{}
}

func newLocks() *locks {
	l := &locks{seed: maphash.MakeSeed()}
	for i := range l.held {
		l.held[i] = make(chan struct{}, 1)
	}
	return l
}

func (l *locks) of(key []byte) int { return int(maphash.Bytes(l.seed, key) % stripes) }

func (l *locks) lock(ctx context.Context, i int) error {
	select {
	case l.held[i] <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.held[i] <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *locks) unlock(i int) { <-l.held[i] }

// set is a set of locks.
type set [stripes]bool

// lockSet takes locks in their order, so that no two callers wait for each other.
func (l *locks) lockSet(ctx context.Context, s *set) error {
	for i, in := range s {
		if !in {
			continue
		}
		if err := l.lock(ctx, i); err != nil {
			for j := range i {
				if s[j] {
					l.unlock(j)
				}
			}
			return err
		}
	}
	return nil
}

func (l *locks) unlockSet(s *set) {
	for i, in := range s {
		if in {
			l.unlock(i)
		}
	}
}
