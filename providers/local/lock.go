package local

import (
	"context"
	"hash/maphash"
	"math/bits"
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

// hash is what a key's lock, and what is known of it, go by.
func (l *locks) hash(key []byte) uint64 { return maphash.Bytes(l.seed, key) }

// of returns the lock of a hash.
func of(hash uint64) int { return int(hash % stripes) }

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
type set [stripes / 64]uint64

func (s *set) add(i int) { s[i/64] |= 1 << (i % 64) }

// all yields the locks of the set in their order.
func (s *set) all(yield func(int) bool) {
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			if !yield(w*64 + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

// lockSet takes locks in their order, so that no two callers wait for each other.
func (l *locks) lockSet(ctx context.Context, s *set) error {
	var taken set
	for i := range s.all {
		if err := l.lock(ctx, i); err != nil {
			l.unlockSet(&taken)
			return err
		}
		taken.add(i)
	}
	return nil
}

func (l *locks) unlockSet(s *set) {
	for i := range s.all {
		l.unlock(i)
	}
}
