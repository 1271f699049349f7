package lsm

import (
	"slices"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// held is a version that so many snapshots see.
type held struct {
	version uint64
	holds   int
}

// snapshot is a version that merges keep. It holds no tables.
type snapshot struct {
	e       *Engine
	version uint64
	closed  atomic.Bool
}

// Snapshot implements engine.Engine.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.life.Hold(lifetime.Snapshot)
	e.lockCommits()
	defer e.mu.Unlock()
	return &snapshot{e: e, version: e.keep()}, nil
}

// keep holds the newest version. Under mu.
func (e *Engine) keep() uint64 {
	version := e.visible.Load()
	if n := len(e.snapshots); n > 0 && e.snapshots[n-1].version == version {
		e.snapshots[n-1].holds++
	} else {
		e.snapshots = append(e.snapshots, held{version, 1})
	}
	return version
}

// unkeep gives up a hold of a version. Under mu.
func (e *Engine) unkeep(version uint64) {
	i, ok := slices.BinarySearchFunc(e.snapshots, version, func(h held, v uint64) int {
		switch {
		case h.version < v:
			return -1
		case h.version > v:
			return 1
		}
		return 0
	})
	if !ok {
		return
	}
	if e.snapshots[i].holds--; e.snapshots[i].holds == 0 {
		e.snapshots = slices.Delete(e.snapshots, i, i+1)
	}
}

// snapshotVersions returns the versions that snapshots see, ascending. Under mu.
func (e *Engine) snapshotVersions() []uint64 {
	if len(e.snapshots) == 0 {
		return nil
	}
	out := make([]uint64, len(e.snapshots))
	for i, h := range e.snapshots {
		out[i] = h.version
	}
	return out
}

// Sequence implements engine.SequencedSnapshot.
func (s *snapshot) Sequence() uint64 { return s.version }

// Get implements engine.Reader.
func (s *snapshot) Get(key, dst []byte) ([]byte, error) { return s.getIn(0, key, dst) }

func (s *snapshot) getIn(f engine.FamilyID, key, dst []byte) ([]byte, error) {
	if s.closed.Load() {
		return dst, engine.ErrClosed
	}
	return s.e.getIn(f, key, dst, s.version)
}

// NewIterator implements engine.Reader.
func (s *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return s.iterate(0, o)
}

func (s *snapshot) iterate(f engine.FamilyID, o engine.IterOptions) (engine.Iterator, error) {
	if s.closed.Load() {
		return nil, engine.ErrClosed
	}
	return s.e.iterate(f, o, s.version)
}

// In implements engine.FamilyReader. A family that has been dropped since then is
// ErrNotFound.
func (s *snapshot) In(f engine.FamilyID) (engine.Reader, error) {
	if s.closed.Load() {
		return nil, engine.ErrClosed
	}
	if err := s.e.knows(f); err != nil {
		return nil, err
	}
	return &familySnapshot{s, f}, nil
}

// familySnapshot reads one family of a snapshot.
type familySnapshot struct {
	s      *snapshot
	family engine.FamilyID
}

// Get implements engine.Reader.
func (r *familySnapshot) Get(key, dst []byte) ([]byte, error) { return r.s.getIn(r.family, key, dst) }

// NewIterator implements engine.Reader.
func (r *familySnapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return r.s.iterate(r.family, o)
}

// Close implements engine.Snapshot.
func (s *snapshot) Close() error {
	if s.closed.Swap(true) {
		return engine.ErrClosed
	}
	s.e.mu.Lock()
	s.e.unkeep(s.version)
	s.e.mu.Unlock()
	return s.e.life.Drop(lifetime.Snapshot)
}
