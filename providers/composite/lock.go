package composite

import (
	"context"
	"hash/maphash"
)

const stripes = 256

// locks are the locks of keys. A write holds those of its keys from the check of its
// conditions until both sides have it; a copy from one side to the other does, too.
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

// set is a set of locks.
type set [stripes]bool

func (s *set) all() {
	for i := range s {
		s[i] = true
	}
}

func (l *locks) add(s *set, key []byte) { s[maphash.Bytes(l.seed, key)%stripes] = true }

// lock takes locks in their order, so that no two callers wait for each other.
func (l *locks) lock(ctx context.Context, s *set) error {
	for i, in := range s {
		if !in {
			continue
		}
		select {
		case l.held[i] <- struct{}{}:
		case <-ctx.Done():
			for j := range i {
				if s[j] {
					<-l.held[j]
				}
			}
			return ctx.Err()
		}
	}
	return nil
}

func (l *locks) unlock(s *set) {
	for i, in := range s {
		if in {
			<-l.held[i]
		}
	}
}
